#!/usr/bin/env bash
# Installs system packages: packages.sh PACKAGE...
# For Debian, Ubuntu and what is made of them, the Deep Learning Containers among it. Nothing of apt's own stays behind.
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends "$@"
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log

# Debian makes host keys when it installs sshd: every container of the image would have the same. hvdsm makes new ones for each job.
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
