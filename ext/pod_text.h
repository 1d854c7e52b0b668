/* The fields of a Pod in its JSON, in one pass, nothing copied.
 *
 * In: the text of an object that is known to be well-formed, of any kind. Out: its apiVersion and
 * kind, and where the fields lie that netpolc reads of a Pod. `is_plain` is 0 where one of them is
 * written in an unusual way: twice, with escapes, as another type. NULL is "not sure" of any of it.
 */
#ifndef NETPOLC_POD_TEXT_H
#define NETPOLC_POD_TEXT_H

#include "json_pass.h"

#define NETPOLC_MOST_CONTAINERS 32

enum {
    POD_NAME, POD_NAMESPACE, POD_UID, POD_LABELS, POD_OWNERS,           /* of metadata */
    POD_NODE, POD_HOST_NETWORK, POD_CONTAINERS, POD_SIDECARS,           /* of spec */
    POD_PHASE, POD_ADDRESS, POD_ADDRESSES, POD_HOST, POD_HOSTS,         /* of status */
    POD_VERSION, POD_KIND, POD_METADATA, POD_SPEC, POD_STATUS, POD_ITEMS, POD_ANNOTATIONS,
    POD_PORTS, POD_RESTARTS,                                            /* of a container */
    POD_FIELDS
};

typedef struct {
    const char *name;
    size_t size;
    int field;
} NetpolcKey;

#define NETPOLC_KEY(name, field) { name, sizeof(name) - 1, field }

static const NetpolcKey netpolc_object_keys[] = {
    NETPOLC_KEY("apiVersion", POD_VERSION), NETPOLC_KEY("kind", POD_KIND),
    NETPOLC_KEY("metadata", POD_METADATA), NETPOLC_KEY("spec", POD_SPEC),
    NETPOLC_KEY("status", POD_STATUS), NETPOLC_KEY("items", POD_ITEMS), { NULL, 0, 0 },
};
static const NetpolcKey netpolc_metadata_keys[] = {
    NETPOLC_KEY("name", POD_NAME), NETPOLC_KEY("namespace", POD_NAMESPACE),
    NETPOLC_KEY("uid", POD_UID), NETPOLC_KEY("labels", POD_LABELS),
    NETPOLC_KEY("ownerReferences", POD_OWNERS), NETPOLC_KEY("annotations", POD_ANNOTATIONS),
    { NULL, 0, 0 },
};
static const NetpolcKey netpolc_spec_keys[] = {
    NETPOLC_KEY("nodeName", POD_NODE), NETPOLC_KEY("hostNetwork", POD_HOST_NETWORK),
    NETPOLC_KEY("containers", POD_CONTAINERS), NETPOLC_KEY("initContainers", POD_SIDECARS),
    { NULL, 0, 0 },
};
static const NetpolcKey netpolc_status_keys[] = {
    NETPOLC_KEY("phase", POD_PHASE), NETPOLC_KEY("podIP", POD_ADDRESS),
    NETPOLC_KEY("podIPs", POD_ADDRESSES), NETPOLC_KEY("hostIP", POD_HOST),
    NETPOLC_KEY("hostIPs", POD_HOSTS), { NULL, 0, 0 },
};
static const NetpolcKey netpolc_container_keys[] = {
    NETPOLC_KEY("ports", POD_PORTS), NETPOLC_KEY("restartPolicy", POD_RESTARTS), { NULL, 0, 0 },
};

typedef struct {
    NetpolcAt limit;
    const char *waiver;     /* the annotation that makes a pod unusual */
    int is_plain, lists;
    NetpolcSlice fields[POD_FIELDS];
    /* `ports` of each container and init container, and which of them it is */
    NetpolcSlice ports[NETPOLC_MOST_CONTAINERS];
    char sorts[NETPOLC_MOST_CONTAINERS];
} NetpolcPod;

static inline int netpolc_field(const NetpolcKey *keys, NetpolcSlice own)
{
    for (; keys->name != NULL; keys++) {
        if ((size_t)own.size == keys->size && memcmp(own.text, keys->name, keys->size) == 0)
            return keys->field;
    }
    return -1;
}

static NetpolcAt netpolc_members(NetpolcPod *pod, NetpolcAt at, const NetpolcKey *keys);

/* Containers, or init containers: the ports of each; 'C' is a container, 'S' a sidecar, and 'I' ends
 * at the start. */
static NetpolcAt netpolc_containers(NetpolcPod *pod, NetpolcAt at, int of_start)
{
    int is_first = 1, more;
    NetpolcSlice *ports = &pod->fields[POD_PORTS], *restarts = &pod->fields[POD_RESTARTS];
    at++;
    while ((more = netpolc_next(&at, pod->limit, is_first, NULL)) == 1) {
        is_first = 0;
        ports->text = restarts->text = NULL;
        ports->size = restarts->size = 0;
        if (*at != '{' || pod->lists == NETPOLC_MOST_CONTAINERS)
            pod->is_plain = 0;
        if (!pod->is_plain)
            at = netpolc_pass(at, pod->limit);
        else if ((at = netpolc_members(pod, at, netpolc_container_keys)) != NULL) {
            pod->sorts[pod->lists] = !of_start ? 'C' : netpolc_is(*restarts, "Always") ? 'S' : 'I';
            pod->ports[pod->lists++] = *ports;
        }
        if (at == NULL)
            return NULL;
    }
    return more == 0 ? at : NULL;
}

/* Annotations: whether the one that matters is there. */
static NetpolcAt netpolc_annotations(NetpolcPod *pod, NetpolcAt at)
{
    int is_first = 1, more;
    NetpolcSlice key;
    at++;
    while ((more = netpolc_next(&at, pod->limit, is_first, &key)) == 1) {
        is_first = 0;
        if (netpolc_is(key, pod->waiver))
            pod->is_plain = 0;
        if ((at = netpolc_pass(at, pod->limit)) == NULL)
            return NULL;
    }
    return more == 0 ? at : NULL;
}

/* A field that is a text, or null. */
static NetpolcAt netpolc_take_text(NetpolcPod *pod, NetpolcAt at, NetpolcSlice *out)
{
    NetpolcAt end = NULL;
    if (*at == '"')
        end = netpolc_text(at, pod->limit, out);
    if (end != NULL)
        return end;
    pod->is_plain &= *at == 'n';
    return netpolc_pass(at, pod->limit);
}

/* A field of which the whole value is kept; null is nothing. */
static NetpolcAt netpolc_take(NetpolcPod *pod, NetpolcAt at, NetpolcSlice *out)
{
    NetpolcAt end = netpolc_pass(at, pod->limit);
    if (end != NULL && *at != 'n') {
        out->text = at;
        out->size = end - at;
    }
    return end;
}

/* An object below; null is none, as is what is something else, which is not plain. */
static NetpolcAt netpolc_below(NetpolcPod *pod, NetpolcAt at, const NetpolcKey *keys, char bracket)
{
    if (*at != bracket || !pod->is_plain) {
        pod->is_plain &= *at == 'n';
        return netpolc_pass(at, pod->limit);
    }
    return keys ? netpolc_members(pod, at, keys) : netpolc_annotations(pod, at);
}

static NetpolcAt netpolc_member(NetpolcPod *pod, NetpolcAt at, int field)
{
    switch (field) {
    case POD_METADATA:
        return netpolc_below(pod, at, netpolc_metadata_keys, '{');
    case POD_SPEC:
        return netpolc_below(pod, at, netpolc_spec_keys, '{');
    case POD_STATUS:
        return netpolc_below(pod, at, netpolc_status_keys, '{');
    case POD_ANNOTATIONS:
        return netpolc_below(pod, at, NULL, '{');
    case POD_CONTAINERS:
    case POD_SIDECARS:
        if (*at == '[' && pod->is_plain)
            return netpolc_containers(pod, at, field == POD_SIDECARS);
        pod->is_plain &= *at == 'n';
        return netpolc_pass(at, pod->limit);
    case POD_HOST_NETWORK:
    case POD_LABELS:
    case POD_OWNERS:
    case POD_ADDRESSES:
    case POD_HOSTS:
    case POD_PORTS:
        return netpolc_take(pod, at, &pod->fields[field]);
    case POD_ITEMS:
        return NULL;
    default:
        return netpolc_take_text(pod, at, &pod->fields[field]);
    }
}

/* The members of an object; `at` is its brace. Those that `keys` has are kept. */
static NetpolcAt netpolc_members(NetpolcPod *pod, NetpolcAt at, const NetpolcKey *keys)
{
    int is_first = 1, more, field;
    uint32_t seen = 0;
    NetpolcSlice key;
    at++;
    while ((more = netpolc_next(&at, pod->limit, is_first, &key)) == 1) {
        is_first = 0;
        field = netpolc_field(keys, key);
        if (field < 0) {
            at = netpolc_pass(at, pod->limit);
        } else {
            if (seen & (1u << field))
                return NULL;
            seen |= 1u << field;
            at = netpolc_member(pod, at, field);
        }
        if (at == NULL)
            return NULL;
    }
    if (more != 0)
        return NULL;
    if (keys == netpolc_object_keys && (~seen & (7u << POD_METADATA)))
        pod->is_plain = 0;
    return at;
}

/* 1 if apiVersion and kind are known. */
static int netpolc_read_pod(NetpolcPod *pod, NetpolcAt text, int64_t size)
{
    NetpolcAt at;
    memset(pod->fields, 0, sizeof pod->fields);
    pod->limit = text + size;
    pod->is_plain = 1;
    pod->lists = 0;
    at = netpolc_blank(text, pod->limit);
    if (at == pod->limit || *at != '{')
        return 0;
    at = netpolc_members(pod, at, netpolc_object_keys);
    if (at == NULL || netpolc_blank(at, pod->limit) != pod->limit)
        return 0;
    return pod->fields[POD_VERSION].size > 0 && pod->fields[POD_KIND].size > 0;
}

/* The next text of `[{"ip": "..."}, ...]`, where each has that field alone; `limit` when there is
 * no more, NULL where it is written otherwise. */
static NetpolcAt netpolc_next_address(
    NetpolcAt at, NetpolcAt limit, int is_first, NetpolcSlice *out)
{
    NetpolcSlice key;
    int more;
    if (is_first && *at++ != '[')
        return NULL;
    more = netpolc_next(&at, limit, is_first, NULL);
    if (more != 1)
        return more == 0 ? limit : NULL;
    if (*at++ != '{' || netpolc_next(&at, limit, 1, &key) != 1 || !netpolc_is(key, "ip"))
        return NULL;
    at = netpolc_text(at, limit, out);
    return at != NULL && netpolc_next(&at, limit, 0, &key) == 0 ? at : NULL;
}

#endif
