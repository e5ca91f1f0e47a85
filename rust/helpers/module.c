// SPDX-License-Identifier: GPL-2.0

#include <linux/module.h>

bool tcp_splice_module_get(struct module *module)
{
	return try_module_get(module);
}

void tcp_splice_module_put(struct module *module)
{
	module_put(module);
}
