"""Rules for fields of Kubernetes' own types, besides the fields' types.

Keys are `<group>.<Type>.<field>`, or `<group>.<Type>.<field>.*` for its items or values. Only rules that the API server
checks for every object, in every version at hand, are listed.
"""

from __future__ import annotations

from collections.abc import Mapping

_NOT_NEGATIVE = (
    "apps.DeploymentSpec: replicas minReadySeconds revisionHistoryLimit",
    "apps.StatefulSetSpec: replicas minReadySeconds",
    "apps.ReplicaSetSpec: replicas minReadySeconds",
    "apps.DaemonSetSpec: minReadySeconds revisionHistoryLimit",
    "apps.RollingUpdateDeployment: maxUnavailable maxSurge",
    "apps.RollingUpdateDaemonSet: maxUnavailable maxSurge",
    "batch.JobSpec: parallelism completions activeDeadlineSeconds backoffLimit ttlSecondsAfterFinished",
    "batch.CronJobSpec: startingDeadlineSeconds successfulJobsHistoryLimit failedJobsHistoryLimit",
    "core.PodSpec: terminationGracePeriodSeconds",
    "core.Probe: initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold",
    "core.ReplicationControllerSpec: replicas minReadySeconds",
)
_PORTS = {
    "core.ContainerPort.containerPort": "port",
    "core.ContainerPort.hostPort": "port-or-none",
    "core.ContainerPort.name": "port-name",
    "core.ServicePort.port": "port",
    "core.ServicePort.nodePort": "port-or-none",
    "core.ServicePort.targetPort": "port-or-name",
    "core.HTTPGetAction.port": "port-or-name",
    "core.TCPSocketAction.port": "port-or-name",
    "core.GRPCAction.port": "port",
    "networking.NetworkPolicyPort.endPort": "port",
    "networking.NetworkPolicyPort.port": "port-or-name",
    "networking.ServiceBackendPort.number": "port-or-none",
}
_NAMES = {
    "core.Container.name": "dns-label",
    "core.EphemeralContainer.name": "dns-label",
    "core.EnvVar.name": "env-name",
    "core.Volume.name": "dns-label",
    "core.ServicePort.name": "dns-label",
    "core.VolumeMount.subPath": "inner-path",
    "core.KeyToPath.key": "config-key",
    "core.SecretKeySelector.key": "config-key",
    "core.ConfigMapKeySelector.key": "config-key",
    "core.HostAlias.ip": "ip",
    "networking.IngressRule.host": "host",
}
_LABELS = {
    "meta.ObjectMeta.labels.*": "label-value",
    "meta.LabelSelector.matchLabels.*": "label-value",
    "core.PodSpec.nodeSelector.*": "label-value",
    "core.ServiceSpec.selector.*": "label-value",
    "core.ReplicationControllerSpec.selector.*": "label-value",
}
_AMOUNTS = {
    "core.ResourceRequirements.limits.*": "quantity-not-negative",
    "core.ResourceRequirements.requests.*": "quantity-not-negative",
    "core.VolumeResourceRequirements.requests.*": "quantity-positive",
    "core.ResourceQuotaSpec.hard.*": "quantity-not-negative",
    "batch.CronJobSpec.schedule": "schedule",
    "autoscaling.HorizontalPodAutoscalerSpec.maxReplicas": "positive",
    "autoscaling.HorizontalPodAutoscalerSpec.minReplicas": "not-negative",
}

FIELD_RULES: Mapping[str, str] = {
    **{
        f"{type_}.{field}": "not-negative"
        for type_, _, fields in (line.partition(": ") for line in _NOT_NEGATIVE)
        for field in fields.split()
    },
    **_PORTS,
    **_NAMES,
    **_LABELS,
    **_AMOUNTS,
}

LABEL_KEYED = frozenset(each.removesuffix(".*") for each in _LABELS)
"""Maps whose keys are label keys."""

NOT_CLOSED = frozenset({"core.LimitRangeItem.type"})
"""Enums of the OpenAPI document that the API server does not enforce."""

NEEDED = frozenset(
    f"{type_}.{field}"
    for type_, _, fields in (
        line.partition(": ")
        for line in (
            "apps.DeploymentSpec: selector template",
            "apps.StatefulSetSpec: selector template",
            "apps.DaemonSetSpec: selector template",
            "apps.ReplicaSetSpec: selector",
            "batch.JobSpec: template",
            "batch.CronJobSpec: schedule jobTemplate",
            "core.Container: name image",
            "core.ContainerPort: containerPort",
            "core.EnvVar: name",
            "core.HTTPGetAction: port",
            "core.TCPSocketAction: port",
            "core.PodSpec: containers",
            "core.SecretKeySelector: key",
            "core.ConfigMapKeySelector: key",
            "core.ServicePort: port",
            "core.Volume: name",
            "core.VolumeMount: name mountPath",
            "core.PersistentVolumeClaimSpec: accessModes resources",
            "core.ObjectFieldSelector: fieldPath",
            "core.KeyToPath: key path",
            "networking.HTTPIngressPath: pathType backend",
            "networking.IngressServiceBackend: name",
            "rbac.RoleBinding: roleRef",
            "rbac.ClusterRoleBinding: roleRef",
            "rbac.RoleRef: kind name",
            "rbac.Subject: kind name",
            "autoscaling.CrossVersionObjectReference: kind name",
            "autoscaling.HorizontalPodAutoscalerSpec: scaleTargetRef maxReplicas",
        )
    )
    for field in fields.split()
)
"""Fields without which the API server refuses the object, whatever the OpenAPI document says of them; it calls many
more required than the server looks at, and leaves `image` out."""

NEEDED_OF: Mapping[str, tuple[str, ...]] = {
    owner: tuple(each.rpartition(".")[2] for each in sorted(NEEDED) if each.rpartition(".")[0] == owner)
    for owner in {each.rpartition(".")[0] for each in NEEDED}
}
"""The same, by type."""
