// SPDX-License-Identifier: GPL-2.0
/* Prints the rate of the host's time stamp counter in kHz. Under emulation the guest reads that counter
 * but cannot calibrate it, and would fall back to a clock of 4 ms. */
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

static double ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(void)
{
	const struct timespec nap = { .tv_nsec = 100000000 };
	double t0 = ns();
	unsigned long long c0 = __rdtsc();
	double t1;
	unsigned long long c1;

	nanosleep(&nap, NULL);
	c1 = __rdtsc();
	t1 = ns();
	printf("%.0f\n", (c1 - c0) * 1e6 / (t1 - t0));
	return 0;
}
