{{- define "nexusmon.name" -}}
{{- printf "%s-%s" .Release.Name "nexusmon" | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "nexusmon.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{ include "nexusmon.selector" . }}
{{- end -}}

{{- define "nexusmon.selector" -}}
app.kubernetes.io/name: nexusmon
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "nexusmon.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "nexusmon.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "nexusmon.secret" -}}
valueFrom: {secretKeyRef: {name: {{ .name | quote }}, key: {{ .key | quote }}}}
{{- end -}}
