/* Hubble's flows: one line of JSON to one row (netpolc/flows/decode/hubble.py is the reference).
 *
 * In: a line. Out: 1 and a row, or 0 where the reference must look: keys twice, other kinds of
 * records, words that are not known, ports as text, and all that flow_json.h is not sure of.
 */
#ifndef NETPOLC_FLOW_HUBBLE_H
#define NETPOLC_FLOW_HUBBLE_H

#include <stddef.h>

#include "flow_json.h"

#define NETPOLC_MOST_POLICIES 16

typedef struct {
    NetpolcSlice space, name;
} NetpolcNamed;

typedef struct {
    NetpolcSlice time, verdict, type, node, way, src, dst;
    NetpolcNamed ends[2];
    int32_t ports[2];
    int protocol, is_reply, seen, has_verdict;
    int counts[4];
    NetpolcNamed policies[4][NETPOLC_MOST_POLICIES];  /* egress and ingress denied, then allowed */
} NetpolcFlow;

enum {
    SEEN_TIME = 1, SEEN_VERDICT = 2, SEEN_IP = 4, SEEN_L4 = 8, SEEN_SOURCE = 16,
    SEEN_DESTINATION = 32, SEEN_TYPE = 64, SEEN_NODE = 128, SEEN_WAY = 256, SEEN_REPLY = 512,
    SEEN_POLICIES = 1024,           /* and the next three bits */
    SEEN_FLOW = 16384,
    HAS_IP = 32768, HAS_L4 = 65536
};

#define NETPOLC_ONCE(bit) do { if (seen & (bit)) return NULL; seen |= (bit); } while (0)

/* An object with two texts, each once, and whatever else; or null. */
static NetpolcAt netpolc_pair(
    NetpolcAt at, NetpolcAt limit, const char *one, const char *other, NetpolcSlice *first,
    NetpolcSlice *second)
{
    NetpolcSlice key;
    int seen = 0, is_first = 1, more;
    if (*at == 'n')
        return netpolc_word(at, "null");
    if (*at++ != '{')
        return NULL;
    while ((more = netpolc_key(&at, limit, is_first, &key)) > 0) {
        is_first = 0;
        if (netpolc_is(key, one)) {
            NETPOLC_ONCE(1);
            at = netpolc_text_or_null(at, limit, first);
        } else if (netpolc_is(key, other)) {
            NETPOLC_ONCE(2);
            at = netpolc_text_or_null(at, limit, second);
        } else {
            at = netpolc_skip(at, limit, 4);
        }
        if (at == NULL)
            return NULL;
    }
    return more ? NULL : at;
}

static NetpolcAt netpolc_ports(NetpolcAt at, NetpolcAt limit, int32_t *ports)
{
    NetpolcSlice key;
    int seen = 0, is_first = 1, more;
    if (*at++ != '{')
        return NULL;
    while ((more = netpolc_key(&at, limit, is_first, &key)) > 0) {
        is_first = 0;
        if (netpolc_is(key, "source_port")) {
            NETPOLC_ONCE(1);
            at = netpolc_port_or_null(at, &ports[0]);
        } else if (netpolc_is(key, "destination_port")) {
            NETPOLC_ONCE(2);
            at = netpolc_port_or_null(at, &ports[1]);
        } else {
            at = netpolc_skip(at, limit, 5);
        }
        if (at == NULL)
            return NULL;
    }
    return more ? NULL : at;
}

static int netpolc_protocol(NetpolcSlice name)
{
    if (netpolc_is(name, "TCP"))
        return 6;
    if (netpolc_is(name, "UDP"))
        return 17;
    if (netpolc_is(name, "SCTP"))
        return 132;
    if (netpolc_is(name, "ICMPv4"))
        return 1;
    if (netpolc_is(name, "ICMPv6"))
        return 58;
    if (netpolc_is(name, "VRRP"))
        return 112;
    return netpolc_is(name, "IGMP") ? 2 : 0;
}

/* One protocol, or several of which the others are null. */
static NetpolcAt netpolc_l4(NetpolcAt at, NetpolcAt limit, NetpolcFlow *flow)
{
    NetpolcSlice key;
    int seen = 0, is_first = 1, more;
    if (*at++ != '{')
        return NULL;
    while ((more = netpolc_key(&at, limit, is_first, &key)) > 0) {
        int protocol = netpolc_protocol(key);
        is_first = 0;
        if (protocol == 0) {
            at = netpolc_skip(at, limit, 4);
        } else if (*at == 'n') {
            at = netpolc_word(at, "null");
        } else {
            NETPOLC_ONCE(1);
            flow->protocol = protocol;
            at = netpolc_ports(at, limit, flow->ports);
        }
        if (at == NULL)
            return NULL;
    }
    return more ? NULL : at;
}

static NetpolcAt netpolc_names(NetpolcAt at, NetpolcAt limit, NetpolcNamed *names, int *count)
{
    if (*at == 'n')
        return netpolc_word(at, "null");
    if (*at++ != '[')
        return NULL;
    at = netpolc_space(at);
    if (*at == ']')
        return at + 1;
    for (;;) {
        NetpolcNamed *own = names + *count;
        if (*at != '{' || *count == NETPOLC_MOST_POLICIES)
            return NULL;
        memset(own, 0, sizeof *own);
        at = netpolc_pair(at, limit, "namespace", "name", &own->space, &own->name);
        if (at == NULL)
            return NULL;
        *count += own->name.size > 0;
        at = netpolc_space(at);
        if (*at == ']')
            return at + 1;
        if (*at++ != ',')
            return NULL;
        at = netpolc_space(at);
    }
}

/* The number of a key that lists policies, from 1 on. */
static int netpolc_list_number(NetpolcSlice key)
{
    if (netpolc_is(key, "egress_denied_by"))
        return 1;
    if (netpolc_is(key, "ingress_denied_by"))
        return 2;
    if (netpolc_is(key, "egress_allowed_by"))
        return 3;
    return netpolc_is(key, "ingress_allowed_by") ? 4 : 0;
}

static NetpolcAt netpolc_reply(NetpolcAt at, NetpolcFlow *flow)
{
    flow->is_reply = *at == 't' ? 1 : *at == 'f' ? 0 : -1;
    return netpolc_word(at, *at == 't' ? "true" : *at == 'f' ? "false" : "null");
}

static NetpolcAt netpolc_flow(NetpolcAt at, NetpolcAt limit, NetpolcFlow *flow, NetpolcFlow *inner)
{
    NetpolcSlice key;
    int seen = 0, is_first = 1, more, list;
    memset(flow, 0, offsetof(NetpolcFlow, policies));
    flow->ports[0] = flow->ports[1] = flow->is_reply = -1;
    if (*at++ != '{')
        return NULL;
    while ((more = netpolc_key(&at, limit, is_first, &key)) > 0) {
        is_first = 0;
        if (netpolc_is(key, "time")) {
            NETPOLC_ONCE(SEEN_TIME);
            at = netpolc_text_or_null(at, limit, &flow->time);
        } else if (netpolc_is(key, "verdict")) {
            NETPOLC_ONCE(SEEN_VERDICT);
            flow->has_verdict = *at == '"';
            at = netpolc_text_or_null(at, limit, &flow->verdict);
        } else if (netpolc_is(key, "IP")) {
            NETPOLC_ONCE(SEEN_IP);
            seen |= *at == '{' ? HAS_IP : 0;
            at = netpolc_pair(at, limit, "source", "destination", &flow->src, &flow->dst);
        } else if (netpolc_is(key, "l4")) {
            NETPOLC_ONCE(SEEN_L4);
            seen |= *at == '{' ? HAS_L4 : 0;
            at = *at == 'n' ? netpolc_word(at, "null") : netpolc_l4(at, limit, flow);
        } else if (netpolc_is(key, "source") || netpolc_is(key, "destination")) {
            NetpolcNamed *end = &flow->ends[*key.text == 'd'];
            NETPOLC_ONCE(*key.text == 'd' ? SEEN_DESTINATION : SEEN_SOURCE);
            at = netpolc_pair(at, limit, "namespace", "pod_name", &end->space, &end->name);
        } else if (netpolc_is(key, "Type")) {
            NETPOLC_ONCE(SEEN_TYPE);
            at = netpolc_text_or_null(at, limit, &flow->type);
        } else if (netpolc_is(key, "node_name")) {
            NETPOLC_ONCE(SEEN_NODE);
            at = netpolc_text_or_null(at, limit, &flow->node);
        } else if (netpolc_is(key, "traffic_direction")) {
            NETPOLC_ONCE(SEEN_WAY);
            at = netpolc_text_or_null(at, limit, &flow->way);
        } else if (netpolc_is(key, "is_reply")) {
            NETPOLC_ONCE(SEEN_REPLY);
            at = netpolc_reply(at, flow);
        } else if ((list = netpolc_list_number(key)) != 0) {
            NETPOLC_ONCE(SEEN_POLICIES << (list - 1));
            at = netpolc_names(at, limit, flow->policies[list - 1], &flow->counts[list - 1]);
        } else if (inner != NULL && netpolc_is(key, "flow")) {
            NETPOLC_ONCE(SEEN_FLOW);
            at = netpolc_flow(at, limit, inner, NULL);
        } else if (inner != NULL
                   && (netpolc_is(key, "lost_events") || netpolc_is(key, "node_status")
                       || netpolc_is(key, "agent_event") || netpolc_is(key, "debug_event"))) {
            return NULL;
        } else {
            at = netpolc_skip(at, limit, 3);
        }
        if (at == NULL)
            return NULL;
    }
    flow->seen = seen;
    return more ? NULL : at;
}

static int netpolc_verdict(const NetpolcFlow *flow, int32_t *out)
{
    NetpolcSlice own = flow->verdict;
    if (netpolc_is(own, "FORWARDED") || netpolc_is(own, "REDIRECTED") || netpolc_is(own, "AUDIT"))
        *out = 0;
    else if (netpolc_is(own, "DROPPED"))
        *out = 1;
    else if (flow->has_verdict && !netpolc_is(own, "VERDICT_UNKNOWN")
             && !netpolc_is(own, "ERROR") && !netpolc_is(own, "TRACED")
             && !netpolc_is(own, "TRANSLATED"))
        return 0;
    return 1;
}

static void netpolc_put_pod(NetpolcRows *rows, int column, const NetpolcNamed *pod)
{
    NetpolcTexts *texts = &rows->texts[column];
    int64_t size = 0;
    if (pod->space.size == 0 || pod->name.size == 0 || netpolc_is(pod->space, "-")
        || netpolc_is(pod->name, "-")) {
        netpolc_put_null(rows, column);
        return;
    }
    netpolc_append(texts, &size, pod->space.text, pod->space.size);
    netpolc_append(texts, &size, "/", 1);
    netpolc_append(texts, &size, pod->name.text, pod->name.size);
    netpolc_put_appended(rows, column, size);
}

static int netpolc_same(NetpolcSlice one, NetpolcSlice other)
{
    return one.size == other.size && memcmp(one.text, other.text, (size_t)one.size) == 0;
}

/* The names of all lists, each once. Those with a slash could be two names: they are not here. */
static int netpolc_put_policies(NetpolcRows *rows, const NetpolcFlow *flow)
{
    const NetpolcNamed *known[4 * NETPOLC_MOST_POLICIES];
    NetpolcTexts *texts = &rows->texts[ROW_POLICY];
    int64_t size = 0;
    int list, at, count = 0, before;
    for (list = 0; list < 4; list++) {
        for (at = 0; at < flow->counts[list]; at++) {
            const NetpolcNamed *own = &flow->policies[list][at];
            if (memchr(own->name.text, '/', (size_t)own->name.size) != NULL)
                return 0;
            for (before = 0; before < count; before++)
                if (netpolc_same(known[before]->name, own->name)
                    && netpolc_same(known[before]->space, own->space))
                    break;
            if (before < count)
                continue;
            if (count)
                netpolc_append(texts, &size, ", ", 2);
            known[count++] = own;
            if (own->space.size) {
                netpolc_append(texts, &size, own->space.text, own->space.size);
                netpolc_append(texts, &size, "/", 1);
            }
            netpolc_append(texts, &size, own->name.text, own->name.size);
        }
    }
    if (count)
        netpolc_put_appended(rows, ROW_POLICY, size);
    else
        netpolc_put_null(rows, ROW_POLICY);
    return 1;
}

static int netpolc_scan_hubble(
    const uint8_t *line, const uint8_t *end, const uint8_t *limit, const void *how,
    NetpolcRows *rows)
{
    NetpolcFlow outer, inner;
    const NetpolcFlow *flow;
    NetpolcRow row;
    NetpolcAt at = netpolc_flow(netpolc_space(line), limit, &outer, &inner);
    (void)how;
    if (at == NULL || netpolc_space(at) != end)
        return 0;
    flow = outer.seen & SEEN_FLOW ? &inner : &outer;
    netpolc_clear_row(&row);
    if (!(flow->seen & HAS_IP) || flow->protocol == 0 || netpolc_is(flow->type, "L7")
        || netpolc_is(flow->type, "SOCK") || !netpolc_verdict(flow, &row.verdict))
        return 0;
    if (flow->time.size && !netpolc_time(flow->time.text, flow->time.size, &row.ts))
        return 0;
    row.protocol = (int16_t)flow->protocol;
    if (row.protocol == 6 || row.protocol == 17 || row.protocol == 132) {
        row.src_port = flow->ports[0];
        row.port = flow->ports[1];
    }
    row.direction = netpolc_is(flow->way, "EGRESS") ? 0 : netpolc_is(flow->way, "INGRESS") ? 1 : -1;
    row.is_reply = (int8_t)flow->is_reply;
    row.src = flow->src;
    row.dst = flow->dst;
    row.reporter = flow->node;
    if (!netpolc_put_policies(rows, flow))
        return 0;
    netpolc_put_pod(rows, ROW_SRC_POD, &flow->ends[0]);
    netpolc_put_pod(rows, ROW_DST_POD, &flow->ends[1]);
    netpolc_put_row(rows, &row);
    return 1;
}

#endif
