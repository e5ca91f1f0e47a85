/* SPDX-License-Identifier: GPL-2.0 */
/* What bindgen reads for the module: kernel functions that `kernel::bindings` lacks, and our inlines. */

#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/skbuff.h>
#include <net/netfilter/ipv4/nf_defrag_ipv4.h>
#include <net/netfilter/ipv6/nf_defrag_ipv6.h>
#include <net/sock.h>
#include "../helpers/tcp_splice_helpers.h"
