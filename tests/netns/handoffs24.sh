#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Run: by name only: it takes all of a machine of two CPUs, and times out beside others
# Twenty-four random connections that move between hosts, the same each time: see handoffs.sh.
# Limit: 240 s
SEED=20 HANDOFFS=24 LANES=4 HANDOFF=
. "$(dirname "$0")/handoffs.sh"
