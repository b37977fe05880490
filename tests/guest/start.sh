#!/bin/sh
# The guest's first process once its root file system is in place: runs the agent, and switches off when that ends.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run LANG=C.UTF-8 TERM=dumb
export PYTHONPATH=/run/code PYTHONDONTWRITEBYTECODE=1
/bin/busybox sh -c "exec $(/bin/busybox cat /python) -m tests.guest.agent"
/bin/busybox poweroff -f
