#!/bin/bash
set -e
echo "$# arguments on $SM_CURRENT_HOST"
printf '%s\n' "$@" > "$SM_MODEL_DIR/arguments.txt"
