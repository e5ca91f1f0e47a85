#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Twelve transfers of failover.sh over IPv6, while each of the five things breaks once.
# Limit: 240 s
N=12 BREAKS=5 SEED=29845 V=6
. "$(dirname "$0")/failover.sh"
