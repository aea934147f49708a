#!/usr/bin/env bash
# Makes the directories of a training job, and an account for those who do not run it as root; takes away keys: account.sh
# SageMaker runs a container as root unless the image says otherwise, and its /opt/ml belongs to root.
set -euo pipefail

uid=10001
mkdir -p /opt/ml/code /opt/ml/input /opt/ml/model /opt/ml/output
if ! id hvdsm >/dev/null 2>&1; then
  # No password, yet not locked, which sshd would refuse even with a key. The shell is what sshd starts commands with.
  useradd --uid "${uid}" --user-group --create-home --shell /bin/sh --password '*' hvdsm
fi
chown -R hvdsm:hvdsm /opt/ml

# Deep Learning Containers bring a key pair that is the same for everyone who has the image, and let it in.
rm -f /root/.ssh/id_* /root/.ssh/authorized_keys /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
