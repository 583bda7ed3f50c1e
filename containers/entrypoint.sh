#!/bin/sh
# entrypoint.sh jupyter|mlflow|COMMAND...: become the user whose project this is, and start the server.
set -eu

# Whose: CONTAINER_UID, else who owns the project. Where the engine itself is somebody's own
# (rootless), its root is that user, and the project's owner is seen as root.
whose() {
    uid=${CONTAINER_UID:-$(stat -c %u /opt/lab/whose)}
    gid=${CONTAINER_GID:-$(stat -c %g /opt/lab/whose)}
    if [ -n "${RUN_AS_ROOT:-}" ]; then uid=0 gid=0; fi
    case $uid:$gid in
        :* | *: | *[!0-9:]*)
            echo "CONTAINER_UID and CONTAINER_GID must be numbers (id -u, id -g), not '$uid' and '$gid'." >&2
            exit 2
            ;;
    esac
}

# Folders that the engine made for want of others are root's.
give() {
    mkdir -p "$1"
    if [ "$uid" != 0 ] && [ "$(stat -c %u "$1")" = 0 ]; then chown "$uid:$gid" "$1"; fi
}

# What a server wrote as root would stop the next one that runs as the user.
give_back() {
    if [ "$uid" = 0 ]; then
        touch "$folder/.was-root"
    elif [ -e "$folder/.was-root" ]; then
        find "$folder" -path "$folder/project" -prune -o -user 0 -exec chown -h "$uid:$gid" {} +
        rm "$folder/.was-root"
    fi
}

# git and ssh want to know the user's name and home.
introduce() {
    name=lab
    [ "$uid" != 0 ] || name=root
    others=$(grep -v "^[^:]*:[^:]*:$uid:" /etc/passwd | grep -v "^$name:")
    printf '%s\n' "$others" "$name:x:$uid:$gid::$HOME:/bin/bash" >/etc/passwd
}

case $1 in
    jupyter) folder=$JUPYTER_ROOT_DIR HOME=$JUPYTER_ROOT_DIR/.home ;;
    mlflow) folder=$MLFLOW_STORE_DIR HOME=/tmp ;;
    *) exec "$@" ;;
esac
export HOME SHELL=/bin/bash

as=
if [ "$(id -u)" = 0 ]; then
    whose
    give "$folder"
    give "$HOME"
    give_back
    introduce
    as="setpriv --reuid=$uid --regid=$gid --clear-groups"
    # shellcheck disable=SC2086
    if ! $as test -w "$folder" || ! $as test -w "$HOME"; then
        owner=$(stat -c %u "$folder")
        echo "volume/$1 belongs to the user $owner, and this server runs as $uid." >&2
        echo "Set CONTAINER_UID=$owner, or give the folder away: sudo chown -R $uid:$gid volume/$1" >&2
        exit 2
    fi
fi

# Some programs read one spelling, some the other. What runs beside us needs no proxy.
if [ -n "${HTTP_PROXY:-}${HTTPS_PROXY:-}" ]; then
    NO_PROXY="localhost,127.0.0.1,jupyter,mlflow${NO_PROXY:+,$NO_PROXY}"
    export http_proxy="${HTTP_PROXY:-}" https_proxy="${HTTPS_PROXY:-}" no_proxy="$NO_PROXY" NO_PROXY
fi

cd "$folder"
case $1 in
    jupyter)
        # shellcheck disable=SC2086
        exec $as jupyter lab --config=/opt/lab/jupyter_server_config.py
        ;;
    mlflow)
        # shellcheck disable=SC2086
        exec $as mlflow server --host 0.0.0.0 --port 5000 --workers 1 --backend-store-uri "sqlite:///$MLFLOW_STORE_DIR/mlflow.db" --artifacts-destination "$MLFLOW_STORE_DIR/mlartifacts"
        ;;
esac
