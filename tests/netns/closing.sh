#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Ends that come at the wrong time: both at once, before arming, during draining, after the end; and the same four
# numbers used again while late packets are still expected.
#
#   an end by hand ── FIN, RST, SYN ── proxy ── an end by hand
# Limit: 120 s
. "$(dirname "$0")/lib.sh"

topology
offloads off
python3 /payload/tests/netns/closing.py
wait_for 5 no_legs
