{{/* LiteLLM's config.yaml: the user's settings, plus the two that make the proxy work: the plugin and the master key. */}}
{{- define "litellm-proxy.config" -}}
{{- $config := deepCopy .Values.config.extra -}}
{{- range $section := list "litellm_settings" "router_settings" "general_settings" -}}
  {{- $_ := set $config $section (deepCopy (index $.Values.config $section | default dict)) -}}
{{- end -}}
{{- $callbacks := $config.litellm_settings.callbacks | default list -}}
{{- if kindIs "string" $callbacks -}}
  {{- $callbacks = list $callbacks -}}
{{- end -}}
{{- $plugin := "hot_reload.instance" -}}
{{- $_ := set $config.litellm_settings "callbacks" (prepend (without $callbacks $plugin) $plugin) -}}
{{- $_ := set $config.general_settings "master_key" "os.environ/LITELLM_MASTER_KEY" -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "litellm-proxy.plugin" -}}
{{- $file := "files/hot_reload.py" -}}
{{- required (printf "%s is missing from the chart" $file) (.Files.Get $file) -}}
{{- end -}}

{{/* The ConfigMaps that hold the routes, space-separated. R-routes comes last, so that its file wins in the projected
volume during the moment in which the routes shrink from several shards to one. */}}
{{- define "litellm-proxy.routeConfigMaps" -}}
{{- $name := printf "%s-routes" (include "litellm-proxy.fullname" .) -}}
{{- range $shard := until 32 -}}
{{ $name }}-{{ printf "%02d" $shard }}{{ " " }}
{{- end -}}
{{ $name }}
{{- end -}}
