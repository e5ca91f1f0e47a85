// SPDX-License-Identifier: GPL-2.0

#include <linux/workqueue.h>

void tcp_splice_delayed_work_init(struct delayed_work *dwork, work_func_t func)
{
	INIT_DELAYED_WORK(dwork, func);
}

void tcp_splice_delayed_work_wait(struct delayed_work *dwork)
{
	flush_work(&dwork->work);
}

struct workqueue_struct *tcp_splice_workqueue(void)
{
	return alloc_workqueue("tcp_splice", WQ_UNBOUND, 0);
}
