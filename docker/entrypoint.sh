#!/bin/sh
# What the image runs: a program of its own (ray, python, a shell ...) if one is named, else launch.train.
set -eu

case "${1:-}" in
  ray | python | python3 | tensorboard | bash | sh | /*) exec "$@" ;;
  *) exec python -m launch.train "$@" ;;
esac
