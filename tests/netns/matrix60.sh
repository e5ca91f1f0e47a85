#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Sixty samples of the matrix, the same each time: see matrix.sh.
# Limit: 240 s
SEED=20 SAMPLES=60 LANES=4 SAMPLE=
. "$(dirname "$0")/matrix.sh"
