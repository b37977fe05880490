#!/bin/busybox sh
# The first process of the guest where an initrd that is not ours has mounted its disk: the rest of what our own init
# does, with the code to be tested from the namespace of the disk that has it.
exec </dev/console >/dev/console 2>&1
busybox=/bin/busybox
for folder in etc tmp var; do
    $busybox mount -t tmpfs tmpfs "/$folder"
done
$busybox mountpoint -q /run || $busybox mount -t tmpfs tmpfs /run
$busybox mkdir -p /var/lib /var/tmp /dev/shm
cd /run || exit
for place in /dev/nvme0n*; do
    case $($busybox head -c 6 "$place" | $busybox tr -d '\0') in
    070701) $busybox cpio -i -d <"$place" 2>/dev/null ;;
    esac
done
cd / || exit
exec $busybox sh /run/code/tests/guest/start.sh
