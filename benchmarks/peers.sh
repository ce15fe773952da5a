#!/usr/bin/env bash
# Installs the peers that benchmarks.overhead and benchmarks.call_styles compare with, each into an environment of its own below .bench/.
#   benchmarks/peers.sh                  all of them
#   benchmarks/peers.sh otel langfuse    some
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

declare -A packages=(
    [otel]="opentelemetry-sdk"
    [logfire]="logfire openai"
    [openinference]="openinference-instrumentation openinference-instrumentation-openai opentelemetry-sdk openai"
    [langfuse]="langfuse openai"
)

mkdir -p .bench
echo '*' > .bench/.gitignore
for name in "${@:-otel logfire openinference langfuse}"; do
    for peer in $name; do
        "$python" -m venv ".bench/$peer"
        # msgspec is for the floor, which every contestant alternates with
        # shellcheck disable=SC2086
        ".bench/$peer/bin/python" -m pip install --quiet --disable-pip-version-check ${packages[$peer]} msgspec
        echo "$peer: $(".bench/$peer/bin/python" -m pip freeze | grep -ciE .) packages"
    done
done
