#!/bin/sh
# Copies CIFAR-10 to S3: upload-cifar-10.sh s3://BUCKET/PREFIX
#
# The archive is downloaded to .cache/ unless it is there, and its MD5 is checked. CIFAR10_URL names another place to have it from,
# and CIFAR10_MD5 the digest of another file (empty: any). PYTHON is the Python that has boto3; without it the aws command is used.
set -eu

name=cifar-10-python.tar.gz
url=${CIFAR10_URL:-https://www.cs.toronto.edu/~kriz/$name}
md5=${CIFAR10_MD5-c58f30108f718f92721af3b95e74349a}
python=${PYTHON:-python3}
file=.cache/$name

case ${1:-} in
    s3://?*) target=${1%/}/$name ;;
    *) echo "usage: $0 s3://BUCKET/PREFIX" >&2; exit 2 ;;
esac

digest() {
    "$python" -c 'import hashlib, sys
with open(sys.argv[1], "rb") as file:
    found = hashlib.md5()
    for block in iter(lambda: file.read(1 << 20), b""):
        found.update(block)
print(found.hexdigest())' "$1"
}

checked() {
    found=$(digest "$1")
    if [ -n "$md5" ] && [ "$found" != "$md5" ]; then
        echo "$0: $1 has the MD5 $found, expected $md5: remove it, or set CIFAR10_MD5" >&2
        return 1
    fi
}

mkdir -p .cache
if [ ! -f "$file" ]; then
    echo "downloading $url"
    trap 'rm -f "$file.part"' EXIT INT TERM
    "$python" -c 'import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=60) as answer, open(sys.argv[2], "wb") as file:
    shutil.copyfileobj(answer, file, 1 << 20)' "$url" "$file.part"
    checked "$file.part"
    mv "$file.part" "$file"
else
    checked "$file"
fi

echo "copying $file to $target"
if "$python" -c 'import boto3' 2>/dev/null; then
    "$python" -c 'import sys, boto3
bucket, _, key = sys.argv[2][len("s3://"):].partition("/")
boto3.client("s3").upload_file(sys.argv[1], bucket, key)' "$file" "$target"
else
    aws s3 cp --only-show-errors "$file" "$target"
fi
