{{- define "rundlet.labels" -}}
app.kubernetes.io/name: rundlet
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "rundlet.pod" -}}
# Kubernetes would set variables like RUNDLET_PORT for a Service of this name.
enableServiceLinks: false
automountServiceAccountToken: false
# 5 s until the endpoints are gone everywhere, up to 30 s for in-flight requests, and some to spare.
terminationGracePeriodSeconds: 45
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
containers:
  - name: rundlet
    image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args:
      - serve
      - --host=0.0.0.0
      - --tokens=/tokens
      {{- if .Values.engine.enabled }}
      - --server=granian
      {{- else }}
      - --data=/data
      {{- end }}
      {{- range .Values.arguments }}
      - {{ . | quote }}
      {{- end }}
    env:
      - {name: PORT, value: "8000"}
      {{- if .Values.engine.enabled }}
      - name: RUNDLET_STORE
        valueFrom: {secretKeyRef: {name: {{ .Values.engine.secret }}, key: address}}
      {{- end }}
    ports:
      - {name: http, containerPort: 8000}
    # After a power cut the server replays its log before it listens: up to ten minutes.
    startupProbe:
      httpGet: {path: /livez, port: http}
      periodSeconds: 5
      failureThreshold: 120
    # A server that hangs is restarted. One that is not ready only gets no requests: a restart
    # would not help.
    livenessProbe:
      httpGet: {path: /livez, port: http}
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 3
    readinessProbe:
      httpGet: {path: /readyz, port: http}
      periodSeconds: 5
      timeoutSeconds: 5
      failureThreshold: 2
    lifecycle:
      preStop:
        exec: {command: [sleep, "5"]}
    resources:
      {{- toYaml .Values.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    volumeMounts:
      - {name: tokens, mountPath: /tokens, readOnly: true}
      - {name: temporary, mountPath: /tmp}
      {{- if not .Values.engine.enabled }}
      - {name: data, mountPath: /data}
      {{- end }}
volumes:
  - name: tokens
    secret: {secretName: {{ .Values.tokensSecret }}, defaultMode: 0440}
  - name: temporary
    emptyDir: {}
{{- end }}
