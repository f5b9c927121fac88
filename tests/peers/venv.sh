# Sourced by the scripts beside it. Debian's python3 by path; it has no ensurepip without python3-venv, so that pip is borrowed
# from python3-pip.
make_venv() { # folder, requirements (PyPI, pinned): installs them there unless they are
    [ ! -e "$1/ready" ] || ! cmp -s "$2" "$1/ready" || return 0
    echo "installing $2 into $1"
    /usr/bin/python3 -m venv --without-pip "$1"
    /usr/bin/python3 -m pip --python "$1/bin/python" install -q -r "$2"
    cp "$2" "$1/ready"
}
clusters=build/venv-clusters # scikit-learn, about 250 MB
