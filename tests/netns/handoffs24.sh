#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Twenty-four random connections that move between hosts, the same each time: see handoffs.sh.
# Limit: 240 s
SEED=20 HANDOFFS=24 LANES=4 HANDOFF=
. "$(dirname "$0")/handoffs.sh"
