{{/* R: the name everything of this release starts with. 51 characters leave room for "-credentials" within 63. */}}
{{- define "litellm-proxy.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | replace "." "-" | trunc 51 | trimSuffix "-" -}}
{{- end -}}

{{/* Ollama's StatefulSet and Service. A StatefulSet's pods carry its name and 11 characters more in a label. */}}
{{- define "litellm-proxy.ollama" -}}
{{- include "litellm-proxy.fullname" . | trunc 45 | trimSuffix "-" -}}-ollama
{{- end -}}

{{/* Ollama's headless Service: <pod>.<this> names one replica. */}}
{{- define "litellm-proxy.ollamaReplicas" -}}
{{- include "litellm-proxy.ollama" . -}}-pods
{{- end -}}

{{- define "litellm-proxy.masterKeySecret" -}}
{{- default (printf "%s-master-key" (include "litellm-proxy.fullname" .)) .Values.masterKey.existingSecret -}}
{{- end -}}

{{/* The namespaces whose routes are served, comma-separated; "*" for all. */}}
{{- define "litellm-proxy.watchNamespaces" -}}
{{- join "," (default (list .Release.Namespace) .Values.operator.watchNamespaces) -}}
{{- end -}}

{{/* Name of the operator's roles outside its own objects: two releases of one name may watch one namespace. */}}
{{- define "litellm-proxy.watchRole" -}}
{{- printf "%s-operator.%s" (include "litellm-proxy.fullname" .) .Release.Namespace -}}
{{- end -}}

{{/* What a selector matches; immutable, so nothing of the user's is in it. Call with (list $ "proxy"). */}}
{{- define "litellm-proxy.selectorLabels" -}}
{{- $root := first . -}}
app.kubernetes.io/name: litellm-proxy
app.kubernetes.io/instance: {{ include "litellm-proxy.fullname" $root | quote }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{/* Labels of an object. Call with (list $ "proxy"). */}}
{{- define "litellm-proxy.labels" -}}
{{- $root := first . -}}
{{- $chart := $root.Chart -}}
{{- $labels := include "litellm-proxy.selectorLabels" . | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" "modelroute" -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $versions := dict "proxy" $chart.AppVersion "operator" $chart.Version "ollama" $root.Values.ollama.image.tag -}}
{{- $_ := set $labels "app.kubernetes.io/version" (get $versions (last .)) -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" $chart.Name $chart.Version | replace "+" "_") -}}
{{- toYaml (merge $labels $root.Values.commonLabels) -}}
{{- end -}}

{{/* Name, namespace and labels of an object. Call with (list $ "proxy" "-suffix of the name"). */}}
{{- define "litellm-proxy.metadata" -}}
{{- $root := first . -}}
name: {{ printf "%s%s" (include "litellm-proxy.fullname" $root) (last .) | quote }}
namespace: {{ $root.Release.Namespace | quote }}
labels:
  {{- include "litellm-proxy.labels" (list $root (index . 1)) | nindent 2 }}
{{- end -}}

{{/* The same for an object of Ollama's. Call with (list $ "-suffix of the name"). */}}
{{- define "litellm-proxy.ollamaMetadata" -}}
{{- $root := first . -}}
name: {{ printf "%s%s" (include "litellm-proxy.ollama" $root) (last .) | quote }}
namespace: {{ $root.Release.Namespace | quote }}
labels:
  {{- include "litellm-proxy.labels" (list $root "ollama") | nindent 2 }}
{{- end -}}

{{/* Labels of a pod: without versions, so that only a change of the pod itself replaces it. Call with (list $ "proxy"). */}}
{{- define "litellm-proxy.podLabels" -}}
{{- $root := first . -}}
{{- $labels := include "litellm-proxy.selectorLabels" . | fromYaml -}}
{{- toYaml (merge $labels (index $root.Values (last .)).podLabels $root.Values.commonLabels) -}}
{{- end -}}

{{/* Call with (list $ "proxy"). */}}
{{- define "litellm-proxy.serviceAccount" -}}
{{- $root := first . -}}
{{- default (printf "%s-%s" (include "litellm-proxy.fullname" $root) (last .)) (index $root.Values (last .)).serviceAccount.name -}}
{{- end -}}

{{/* Call with (list .Values.proxy.image "default tag"). */}}
{{- define "litellm-proxy.image" -}}
{{- $image := first . -}}
{{ $image.repository }}:{{ default (last .) $image.tag }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end -}}

{{/* Where a pod runs, and as whom: the part of a pod spec that proxy and operator share. Call with (list $ "proxy"). */}}
{{- define "litellm-proxy.podSettings" -}}
serviceAccountName: {{ include "litellm-proxy.serviceAccount" . | quote }}
automountServiceAccountToken: true
{{ include "litellm-proxy.podPlacement" . }}
{{- end -}}

{{/* The part of a pod spec that all pods share. Call with (list $ "proxy"). */}}
{{- define "litellm-proxy.podPlacement" -}}
{{- $root := first . -}}
{{- $values := index $root.Values (last .) -}}
# A Service named like the release would put LITELLM_PORT=tcp://... and the like into the environment.
enableServiceLinks: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
