#!/bin/busybox sh
# The first process of the guest: mounts what programs expect, takes the disk "root" as the root file system, and leaves
# the machine to the agent. That disk is read-only, so a guest always starts as a machine where nothing was done yet.
busybox=/bin/busybox
$busybox mkdir -p /proc /sys /dev /root
$busybox mount -t proc proc /proc
$busybox mount -t sysfs sysfs /sys
$busybox mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1

# An image with roots: our stand-in first, as a kernel has its own, with a file for the controller of the disk.
if [ -e /usr/lib/cmakeys/load ]; then
    $busybox insmod /code/cma_standin.ko functions=0000:00:03.0
    for program in sh mkdir sleep; do
        $busybox ln -s busybox "/bin/$program"
    done
    PATH=/bin /bin/sh /usr/lib/cmakeys/load
    echo "$?" >/code/loaded
fi

# A kernel whose drivers are modules gets them only now, as from udev.
for module in /modules/*; do
    [ ! -e "$module" ] || $busybox insmod "$module"
done

disk=
while [ -z "$disk" ]; do
    for place in /sys/class/nvme/*; do
        case $($busybox cat "$place/serial" 2>/dev/null) in
        root*) disk=/dev/${place##*/}n1 ;;
        esac
    done
    [ -b "$disk" ] || { disk=; $busybox sleep 0.05; }
done
$busybox mount -t ext4 -o ro "$disk" /root || exec $busybox poweroff -f
for folder in etc run tmp var; do
    $busybox mount -t tmpfs tmpfs "/root/$folder"
done
$busybox mkdir -p /root/run/code /root/var/lib /root/var/tmp
$busybox cp -a /code/. /root/run/code/
for folder in proc sys dev; do
    $busybox mount -o move "/$folder" "/root/$folder"
done
$busybox mkdir -p /root/dev/shm /root/dev/pts
$busybox mount -t tmpfs tmpfs /root/dev/shm
$busybox mount -t devpts devpts /root/dev/pts
$busybox mount -t securityfs securityfs /root/sys/kernel/security
exec $busybox switch_root /root /bin/busybox sh /run/code/tests/guest/start.sh
