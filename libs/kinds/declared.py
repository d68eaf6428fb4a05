"""The kinds that are declared by documents.

A kind is registered here once, in the order in which documents usually refer to each other. Roles, the order of
application, `GET /v1/kinds`, the command's words, tables, help and completion, and the reference page follow.
"""

from __future__ import annotations

from libs.kinds.kind import KindColumn, declared

_NAME = KindColumn("NAME", "metadata.name")
_EXPRESSION = KindColumn("EXPRESSION", "spec.expression")
_CLUSTERS = KindColumn("CLUSTERS", "spec.clusters")
_APPLICATIONS = KindColumn("APPLICATIONS", "spec.applications", otherwise="all")
_SIGNOFF = KindColumn("SIGN-OFF", "spec.signoff", wide=True)
_LABELS = KindColumn("LABELS", "metadata.labels", wide=True)
_FROM = KindColumn("FROM", "spec.from")
_UNTIL = KindColumn("UNTIL", "spec.until")

DECLARED_KINDS = (
    declared(
        "Store",
        "stores",
        "inventory",
        (
            _NAME,
            KindColumn("TIMEZONE", "spec.timezone"),
            KindColumn("CLUSTERS", "spec.clusters", "clusters"),
            _LABELS,
            KindColumn("HOURS", "spec.hours", wide=True),
        ),
        about="A store with its time zone, labels, opening hours and clusters.",
        aliases=("st",),
        clusters="spec.clusters[].name",
        example={
            "metadata": {"name": "tx-austin-0042", "labels": {"size": "large"}},
            "spec": {"timezone": "America/Chicago"},
        },
    ),
    declared(
        "Group",
        "groups",
        "grouping",
        (
            KindColumn("PATH", "metadata.path"),
            KindColumn("CLUSTERS", "spec.clusters", "count"),
            KindColumn("STORES", "spec.stores", "count"),
            _EXPRESSION,
            _LABELS,
        ),
        about="A named set of clusters in a hierarchy: listed ones, those of listed stores, and selected ones.",
        name_path="metadata.path",
        refers={"spec.clusters[]": "cluster", "spec.stores[]": "Store"},
        expressions=("spec.expression",),
        letter="g",
        example={"metadata": {"path": "/size/large"}, "spec": {"expression": "size = large"}},
    ),
    declared(
        "Role",
        "roles",
        "policy",
        (_NAME, KindColumn("RULES", "spec.rules", "rules")),
        about="A set of verbs on kinds that a role binding gives to people.",
        gives_rights=True,
        example={
            "metadata": {"name": "release-manager"},
            "spec": {"rules": [{"verbs": ["approve", "get"], "kinds": ["*"]}]},
        },
    ),
    declared(
        "SignOff",
        "signoffs",
        "policy",
        (
            _NAME,
            KindColumn("STAGES", "spec.stages", "stages"),
            KindColumn("HOURS", "spec.expires_hours"),
            KindColumn("COUNTS", "spec.count", wide=True),
        ),
        about="A process of stages in which people with certain roles approve a change.",
        aliases=("sign-off", "sign-offs"),
        refers={"spec.stages[].roles[]": "Role"},
        example={
            "metadata": {"name": "one-manager"},
            "spec": {"stages": [{"roles": ["release-manager"], "quorum": 1}]},
        },
    ),
    declared(
        "Namespace",
        "namespaces",
        "catalog",
        (
            _NAME,
            KindColumn("OWNERS", "spec.owners"),
            KindColumn("CAPACITY", "spec.capacity"),
            _EXPRESSION,
            KindColumn("LABELS", "spec.labels", wide=True),
        ),
        about="A Kubernetes namespace on the clusters that an expression selects, with its owners and its capacity.",
        aliases=("ns",),
        refers={"spec.signoff": "SignOff"},
        expressions=("spec.expression",),
        letter="n",
        example={"metadata": {"name": "pos"}, "spec": {"expression": "/g/size/large", "owners": ["pos-team"]}},
    ),
    declared(
        "Application",
        "applications",
        "catalog",
        (_NAME, KindColumn("NAMESPACE", "spec.namespace"), _EXPRESSION, _LABELS),
        about="An application of a namespace, whose releases run on the clusters of the namespace or on fewer.",
        aliases=("app", "apps"),
        refers={"spec.namespace": "Namespace", "spec.signoff": "SignOff"},
        expressions=("spec.expression",),
        example={"metadata": {"name": "pos-api"}, "spec": {"namespace": "pos", "signoff": "one-manager"}},
    ),
    declared(
        "Configuration",
        "configurations",
        "catalog",
        (
            _NAME,
            KindColumn("APPLIES-TO", "spec.applications", "applies-to"),
            KindColumn("PRIORITY", "spec.priority"),
            _EXPRESSION,
            KindColumn("VALUES", "spec.values", wide=True),
        ),
        about="A layer of values for applications on the clusters that an expression selects.",
        aliases=("config", "configs"),
        refers={"spec.applications[]": "Application", "spec.namespace": "Namespace"},
        expressions=("spec.expression",),
        example={
            "metadata": {"name": "pos-large"},
            "spec": {"applications": ["pos-api"], "expression": "size = large", "values": {"lanes": 12}},
        },
    ),
    declared(
        "Calendar",
        "calendars",
        "policy",
        (
            _NAME,
            _CLUSTERS,
            _APPLICATIONS,
            KindColumn("WINDOWS", "spec.windows", "windows"),
            KindColumn("CUTOFF", "spec.cutoff_minutes", wide=True),
            KindColumn("EXCLUDE", "spec.exclude", wide=True),
            _SIGNOFF,
        ),
        about="The windows in which changes may be admitted on clusters or of applications.",
        aliases=("cal",),
        refers={"spec.applications[]": "Application", "spec.signoff": "SignOff"},
        expressions=("spec.clusters",),
        example={
            "metadata": {"name": "nights"},
            "spec": {"clusters": "/g/size", "windows": [{"days": ["mon", "tue"], "from": "02:00", "to": "05:00"}]},
        },
    ),
    declared(
        "Freeze",
        "freezes",
        "policy",
        (
            _NAME,
            _FROM,
            _UNTIL,
            KindColumn("IN", "spec.at", "interval-in"),
            _CLUSTERS,
            _APPLICATIONS,
            KindColumn("OWNER", "spec.owner"),
            KindColumn("REASON", "spec.reason"),
            KindColumn("NEW-CLUSTERS", "spec.new_clusters", otherwise="pass", wide=True),
            _SIGNOFF,
        ),
        about="An interval in which no change is admitted on some clusters.",
        refers={"spec.applications[]": "Application", "spec.signoff": "SignOff"},
        expressions=("spec.clusters",),
        example={
            "metadata": {"name": "holidays"},
            "spec": {
                "from": "2026-12-18T00:00:00Z",
                "until": "2027-01-04T00:00:00Z",
                "clusters": "/c/*",
                "reason": "peak season",
                "owner": "operations",
            },
        },
    ),
    declared(
        "PlacementPolicy",
        "placementpolicies",
        "policy",
        (
            _NAME,
            KindColumn("FORBIDS", "spec.forbid.applications"),
            _CLUSTERS,
            KindColumn("BASIS", "spec.basis"),
            KindColumn("ENFORCEMENT", "spec.enforcement", otherwise="gated"),
            _FROM,
            _UNTIL,
            KindColumn("ON-CONFLICT", "spec.on_conflict", otherwise="warn", wide=True),
            _SIGNOFF,
        ),
        about="A law: applications that must not run on some clusters, and its basis.",
        aliases=("policy", "policies", "law", "laws"),
        refers={"spec.forbid.applications[]": "Application", "spec.signoff": "SignOff"},
        expressions=("spec.clusters",),
        example={
            "metadata": {"name": "no-pos-in-bars"},
            "spec": {
                "forbid": {"applications": ["pos-api"]},
                "clusters": "kind = bar",
                "allow_empty": True,
                "basis": "contract 7",
            },
        },
    ),
    declared(
        "RoleBinding",
        "rolebindings",
        "policy",
        (
            _NAME,
            KindColumn("ROLE", "spec.role"),
            KindColumn("SUBJECTS", "spec.subjects", "subjects"),
            KindColumn("CLUSTERS", "spec.clusters", otherwise="all"),
            KindColumn("NAMESPACES", "spec.namespaces", otherwise="all"),
            KindColumn("EXPIRES", "spec.expires"),
        ),
        about="A role for people, groups or service accounts, everywhere or on some clusters or namespaces.",
        aliases=("binding", "bindings"),
        refers={"spec.role": "Role", "spec.namespaces[]": "Namespace"},
        expressions=("spec.clusters",),
        gives_rights=True,
        example={
            "metadata": {"name": "managers"},
            "spec": {"role": "release-manager", "subjects": [{"user": "ann@example.com"}], "clusters": "/g/size/large"},
        },
    ),
    declared(
        "Source",
        "sources",
        "relay",
        (
            _NAME,
            KindColumn("SOURCE", "spec.source"),
            KindColumn("SERVICE-ACCOUNT", "spec.serviceAccount"),
            KindColumn("TYPES", "spec.types", "event-types"),
            KindColumn("NAMES", "spec.names"),
            KindColumn("MANIFESTS", "spec.manifests", wide=True),
            KindColumn("MAPPINGS", "spec.mappings", "count", wide=True),
        ),
        about="A system outside that may send events, and what they may change.",
        aliases=("src",),
        example={
            "metadata": {"name": "erp"},
            "spec": {
                "source": "https://erp.example.com",
                "serviceAccount": "erp",
                "types": ["dev.resedge.inbox.StoreOpened.v1"],
            },
        },
    ),
)
