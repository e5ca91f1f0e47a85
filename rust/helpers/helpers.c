// SPDX-License-Identifier: GPL-2.0
/* All helpers in one object, sorted. */

#include "tcp_splice_helpers.h"

#include "forward.c"
#include "genetlink.c"
#include "handoff.c"
#include "inet.c"
#include "module.c"
#include "net_namespace.c"
#include "netfilter.c"
#include "percpu.c"
#include "rhashtable.c"
#include "skbuff.c"
#include "tcp.c"
#include "workqueue.c"
