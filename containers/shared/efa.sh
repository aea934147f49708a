#!/usr/bin/env bash
# Installs what a GPU image needs for Elastic Fabric Adapters: efa.sh DEVICE VERSION; nothing for cpu.
# libfabric, Open MPI 4.1 over it and the NCCL plugin, all below /opt/amazon. The kernel module is the host's.
# An image that has Open MPI there already, as Deep Learning Containers have, is left as it is.
set -euo pipefail

device=$1
version=$2
# Of the key that the installer is signed with, from the EC2 user guide, "Get started with EFA and MPI".
fingerprint=4E9091BCBB97A96B26B15E59A05480B1DD2D3CCC
site=https://efa-installer.amazonaws.com

if [ "${device}" != gpu ] || [ -x /opt/amazon/openmpi/bin/mpirun ]; then
  exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "${scratch}"' EXIT
export GNUPGHOME="${scratch}/gnupg" DEBIAN_FRONTEND=noninteractive
install -d -m 0700 "${GNUPGHOME}"
cd "${scratch}"

apt-get update
apt-get install -y --no-install-recommends ca-certificates curl gnupg gpgv
for name in "aws-efa-installer-${version}.tar.gz" "aws-efa-installer-${version}.tar.gz.sig" aws-efa-installer.key; do
  curl --fail --silent --show-error --location --retry 3 --output "${name}" "${site}/${name}"
done
gpg --batch --quiet --dearmor --output key.gpg aws-efa-installer.key
# VALIDSIG ends with the primary key's fingerprint: the signature is made by that key, or by a subkey of it.
signed=$(gpgv --quiet --status-fd 1 --keyring ./key.gpg "aws-efa-installer-${version}.tar.gz.sig" "aws-efa-installer-${version}.tar.gz")
case "${signed}" in
  *"[GNUPG:] VALIDSIG "*" ${fingerprint}"*) ;;
  *)
    echo "efa.sh: the installer from ${site} is not signed with the key ${fingerprint}; nothing was installed" >&2
    exit 1
    ;;
esac

tar -xzf "aws-efa-installer-${version}.tar.gz"
cd aws-efa-installer
# --no-verify leaves out the test of the network card, which a build does not have.
./efa_installer.sh -y --mpi=openmpi4 --skip-kmod --skip-limit-conf --no-verify
printf '%s\n' /opt/amazon/openmpi/lib /opt/amazon/efa/lib /opt/amazon/ofi-nccl/lib > /etc/ld.so.conf.d/hvdsm-efa.conf
ldconfig

apt-get purge -y --auto-remove gnupg
apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
