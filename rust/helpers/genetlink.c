// SPDX-License-Identifier: GPL-2.0

struct net *tcp_splice_genl_info_net(const struct genl_info *info)
{
	return genl_info_net(info);
}

const struct genl_info *tcp_splice_genl_info_dump(struct netlink_callback *cb)
{
	return genl_info_dump(cb);
}

void tcp_splice_genl_dump_check_consistent(struct netlink_callback *cb, void *hdr)
{
	genl_dump_check_consistent(cb, hdr);
}

void *tcp_splice_genlmsg_iput(struct sk_buff *skb, const struct genl_info *info)
{
	return genlmsg_iput(skb, info);
}

int tcp_splice_genlmsg_reply(struct sk_buff *skb, struct genl_info *info)
{
	return genlmsg_reply(skb, info);
}

int tcp_splice_genlmsg_multicast(const struct genl_family *family, struct net *net,
				 struct sk_buff *skb, u32 portid, unsigned int group, gfp_t flags)
{
	return genlmsg_multicast_netns(family, net, skb, portid, group, flags);
}

bool tcp_splice_genl_has_listeners(const struct genl_family *family, struct net *net,
				   unsigned int group)
{
	return genl_has_listeners(family, net, group);
}

struct nlattr *tcp_splice_nla_nest_start(struct sk_buff *skb, int attrtype)
{
	return nla_nest_start(skb, attrtype);
}

void tcp_splice_nla_nest_end(struct sk_buff *skb, struct nlattr *start)
{
	nla_nest_end(skb, start);
}

void tcp_splice_nla_nest_cancel(struct sk_buff *skb, struct nlattr *start)
{
	nla_nest_cancel(skb, start);
}
