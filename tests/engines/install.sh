#!/bin/sh
# Makes an environment for each engine in .engines/NAME, some 600 MB each. Usage: tests/engines/install.sh [NAME …]
set -eu
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}

packages() {
	case $1 in
	phoenix) echo "arize-phoenix>=20" ;;
	mlflow) echo "mlflow>=3.17" ;;
	rotel) echo "--pre rotel" ;;
	*) echo "no engine is called $1; there are: phoenix mlflow rotel" >&2 && exit 2 ;;
	esac
}

[ $# -gt 0 ] || set -- phoenix mlflow rotel
for name; do
	wanted=$(packages "$name")
	[ ! -e ".engines/$name/installed" ] || continue
	echo "$name: $wanted"
	"$PYTHON" -m venv ".engines/$name"
	# shellcheck disable=SC2086 # several words on purpose
	if command -v uv >/dev/null; then
		uv pip install --quiet --compile-bytecode --python ".engines/$name/bin/python" $wanted
	else
		".engines/$name/bin/python" -m pip install --quiet --disable-pip-version-check $wanted
	fi
	touch ".engines/$name/installed"
done
