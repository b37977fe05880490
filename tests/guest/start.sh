#!/bin/sh
# The guest's first process once its root file system is in place: runs the agent, and switches off when that ends.
echo 'root:x:0:0:root:/run:/bin/sh' >/etc/passwd
echo 'nobody:x:65534:65534:nobody:/nonexistent:/bin/sh' >>/etc/passwd
echo 'root:x:0:' >/etc/group
/bin/busybox hostname guest
/bin/busybox ip link set lo up 2>/dev/null
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run LANG=C.UTF-8 TERM=dumb
export PYTHONPATH=/run/code PYTHONDONTWRITEBYTECODE=1
/bin/busybox sh -c "exec $(/bin/busybox cat /python) -m tests.guest.agent"
/bin/busybox poweroff -f
