#!/bin/sh
# tools.sh [--optional] NAME...: see to it that these programs are here. With root or a sudo that
# asks nothing apt-get installs them; else the exact command is printed, and (unless optional)
# this fails.
set -u
optional=no
if [ "$1" = --optional ]; then optional=yes; shift; fi
PATH="$PATH:/usr/sbin:/sbin:/usr/local/sbin"

package() {
    case $1 in
        ssh) echo openssh-client ;;
        sshd) echo openssh-server ;;
        dockerd) echo docker.io ;;
        sbatch) echo slurm-client ;;
        munged) echo munge ;;
        *) echo "$1" ;;
    esac
}

missing() {
    for name in "$@"; do
        command -v "$name" >/dev/null 2>&1 || package "$name"
    done
}

wanted=$(missing "$@" | tr '\n' ' ' | sed 's/ *$//')
[ -n "$wanted" ] || exit 0

if command -v apt-get >/dev/null 2>&1; then
    how="apt-get install -y --no-install-recommends $wanted"
elif command -v dnf >/dev/null 2>&1; then
    how="dnf install -y $wanted"
elif command -v brew >/dev/null 2>&1; then
    how="brew install $wanted"
else
    how="install these packages: $wanted"
fi

root=none
if [ "$(id -u)" = 0 ]; then root=""; elif sudo -n true 2>/dev/null; then root="sudo -n"; fi
case $how in
    apt-get*)
        if [ "$root" != none ]; then
            echo "installing $wanted" >&2
            log=$(mktemp)
            # Services that packages bring are not started: this is somebody's own machine.
            if ! $root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 $how >"$log" 2>&1; then
                $root apt-get update >>"$log" 2>&1
                $root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 $how >>"$log" 2>&1 ||
                    tail -n 3 "$log" >&2
            fi
            rm -f "$log"
        fi
        ;;
esac

wanted=$(missing "$@" | tr '\n' ' ' | sed 's/ *$//')
[ -n "$wanted" ] || exit 0
case $how in install*) ;; *) [ "$(id -u)" = 0 ] || case $how in brew*) ;; *) how="sudo $how" ;; esac ;; esac
echo "Missing: $wanted. Install them: $how" >&2
[ "$optional" = yes ]
