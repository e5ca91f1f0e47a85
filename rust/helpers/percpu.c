// SPDX-License-Identifier: GPL-2.0

#include <linux/percpu.h>

u64 __percpu *tcp_splice_counters_alloc(unsigned int n)
{
	return (u64 __percpu *)__alloc_percpu(n * sizeof(u64), sizeof(u64));
}

void tcp_splice_counters_free(u64 __percpu *counters)
{
	free_percpu(counters);
}

void tcp_splice_counters_inc(u64 __percpu *counters, unsigned int i)
{
	this_cpu_inc(counters[i]);
}

u64 tcp_splice_counters_next(u64 __percpu *counters, unsigned int i)
{
	return this_cpu_inc_return(counters[i]) - 1;
}

u64 tcp_splice_counters_sum(const u64 __percpu *counters, unsigned int i)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(counters, cpu)[i]);
	return sum;
}
