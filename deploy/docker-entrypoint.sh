#!/bin/sh
# visavis refuses to listen beyond loopback without a key. On the first start of a data volume this makes one and prints it once;
# only its hash is kept. `docker run visavis SUBCOMMAND ...` passes through.
set -eu
if [ "${1:-serve}" = serve ]; then
    if [ -z "$(visavis key list)" ]; then
        echo "visavis: first start; the API key below is shown only now. Send it as: Authorization: Bearer KEY" >&2
        visavis key create --name first
    fi
fi
exec visavis "$@"
