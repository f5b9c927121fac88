#!/bin/bash
# Healthy when GET /health/ready answers 200. bash's own TCP, because the image has no HTTP client.
set -eu
port=${VISAVIS_LISTEN##*:}
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n' "$port" >&3
read -r _ status _ <&3
[ "$status" = 200 ]
