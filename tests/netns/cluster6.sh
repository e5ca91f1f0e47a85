#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# cluster.sh over IPv6.
# Run: by name only
# Limit: 300 s
V=6
. "$(dirname "$0")/cluster.sh"
