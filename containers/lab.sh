#!/bin/sh
# lab.sh up|down|build: the containers of this project. Other words go to docker compose as they are:
# lab.sh logs -f jupyter
set -eu
cd "$(dirname "$0")/.."

NAMES='LAB_* UI_* JUPYTER_* MLFLOW_* CONTAINER_* COMPOSE_* RUN_AS_ROOT BASE_IMAGE HTTP_PROXY HTTPS_PROXY NO_PROXY'
LIMIT=300 # seconds until both servers must answer

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# make hands its command line on in MAKEFLAGS, with `$` doubled and blanks escaped.
take_from_make() {
    set -f
    for word in ${MAKEFLAGS:-}; do
        for name in $NAMES; do
            # shellcheck disable=SC2254
            case ${word%%=*} in
                "$word" | *[!A-Z_]*) ;;
                $name)
                    case $word in *\\) fail "${word%%=*} has a blank in it: write it into .env." ;; esac
                    export "$(printf '%s' "$word" | sed 's/\$\$/$/g')"
                    ;;
            esac
        done
    done
    set +f
}

# A setting of the environment, else of .env, where it may stand in quotes.
setting() {
    eval "value=\${$1:-}"
    [ -n "$value" ] || [ ! -f .env ] ||
        value=$(sed -n "s/^ *$1=//p" .env | tail -n 1 | tr -d '\r' | sed "s/^'\(.*\)'$/\1/; s/^\"\(.*\)\"$/\1/")
    printf '%s' "$value"
}

# Every project's containers and image have a name of their own.
own_name() {
    folder=$(basename "$PWD" | LC_ALL=C tr 'A-Z' 'a-z' | LC_ALL=C tr -cd 'a-z0-9_-' | sed 's/^[_-]*//')
    printf '%s-%s' "${folder:-lab}" "$(pwd -P | cksum | cut -d ' ' -f 1)"
}

find_compose() {
    if docker compose version >/dev/null 2>&1; then
        program="docker compose"
    elif command -v docker-compose >/dev/null 2>&1; then
        program=docker-compose
    else
        fail "Docker with its compose plugin is not installed: https://docs.docker.com/compose/install/" \
            "JupyterLab without containers: inv remote-lab"
    fi
}

# Settings are data for compose alone: this shell never reads .env as a script.
compose() {
    [ ! -f .env ] || set -- --env-file .env "$@"
    case $(setting LAB_GPU) in
        '' | 0 | no) set -- -f containers/compose.yaml "$@" ;;
        *) set -- -f containers/compose.yaml -f containers/compose.gpu.yaml "$@" ;;
    esac
    $program "$@"
}

ask_engine() {
    docker version >/dev/null 2>&1 ||
        fail "The Docker engine does not answer: $(docker version 2>&1 >/dev/null | tail -n 1)" \
            "Start it (sudo systemctl start docker), or see: docker info"
}

# Else the engine would make them, as root.
make_folders() {
    [ -n "$(setting JUPYTER_VOLUME)" ] || mkdir -p volume/jupyter/project
    [ -n "$(setting MLFLOW_VOLUME)" ] || mkdir -p volume/mlflow
}

# Commits from the lab are made by who commits here.
introduce() {
    name=$(git config user.name 2>/dev/null) && email=$(git config user.email 2>/dev/null) || return 0
    export GIT_AUTHOR_NAME="$name" GIT_AUTHOR_EMAIL="$email"
    export GIT_COMMITTER_NAME="$name" GIT_COMMITTER_EMAIL="$email"
}

# What can't come up goes again; what was saved stays.
give_up() {
    compose down >&2
    fail "$@" "The containers were removed again, what was saved stays."
}

await() {
    end=$(($(date +%s) + LIMIT))
    container=$(compose ps -q "$1")
    while state=$(docker inspect -f '{{.State.Health.Status}} {{.RestartCount}}' "$container"); do
        case $state in
            healthy*) return ;;
            "starting 0") [ "$(date +%s)" -lt "$end" ] || break ;;
            *) break ;;
        esac
        sleep 1
    done
    compose logs --tail 20 "$1" >&2
    give_up "$1 does not come up; what it said stands above."
}

address() {
    compose port "$1" "$2" | sed "s/^0\.0\.0\.0:/$(hostname):/"
}

# As jupyter_server_config.py finds it, and as an address can have it.
token() {
    compose exec -T jupyter python3 -c 'import os, urllib.parse as u; print(u.quote(os.environ.get("LAB_TOKEN") or open(os.environ["JUPYTER_ROOT_DIR"] + "/.home/.token").read(), safe=""))'
}

up() {
    make_folders
    introduce
    compose build
    compose up -d ||
        give_up "Docker says above what is wrong. If a port is taken, choose another: make lab-up LAB_PORT=18081 UI_PORT=15001"
    await mlflow
    await jupyter
    echo "JupyterLab  http://$(address jupyter 8888)/lab?token=$(token)"
    echo "MLflow      http://$(address mlflow 5000)"
}

take_from_make
find_compose
COMPOSE_PROJECT_NAME=$(setting COMPOSE_PROJECT_NAME)
COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-$(own_name)}
UI_HOSTS=$(setting UI_HOSTS)
UI_HOSTS=${UI_HOSTS:-$(hostname):*}
case $(setting LAB_ADDRESS) in
    '') UI_HOST=127.0.0.1 ;;
    0.0.0.0) UI_HOST=$(hostname) ;;
    *) UI_HOST=$(setting LAB_ADDRESS) ;;
esac
export COMPOSE_PROJECT_NAME UI_HOSTS UI_HOST
case ${1:?} in
    up)
        ask_engine
        up
        ;;
    down)
        ask_engine
        compose down
        echo "What was saved stays in volume/; make lab-up goes on with it."
        ;;
    *) compose "$@" ;;
esac
