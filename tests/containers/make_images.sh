#!/bin/sh
# Makes stand-ins for the images of Dockerfile and docker-compose.yml, where none can be pulled:
# for tests/test_containers.py. Needs root, debootstrap and a running Docker engine; some minutes.
# Where an image of that name is there already and is the official one, it stays.
set -eu
cd "$(dirname "$0")"

is_official() {
    made=$(docker image inspect --format '{{index .Config.Labels "economy.stand-in"}}' "$1" 2>/dev/null) \
        && [ "$made" != true ]
}

make_debian() {
    folder=$(mktemp -d)
    trap 'rm -rf --one-file-system "$folder"' EXIT
    chmod 755 "$folder" # it becomes the root of the images, which every account has to enter
    debootstrap --variant=minbase --include=ca-certificates bookworm "$folder" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
    tar --create --directory="$folder" --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' \
        --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' . \
        | docker import --change 'LABEL economy.stand-in=true' - debian:bookworm-slim
}

stand_in() {
    if is_official "$2"; then
        echo "$2 is the official image"
    else
        docker build --target "$1" --tag "$2" .
    fi
}

is_official debian:bookworm-slim || make_debian
stand_in python python:3.11-slim-bookworm
stand_in postgres postgres:16-bookworm
stand_in redis redis:7-bookworm
stand_in prometheus prom/prometheus:v3.5.0
