# One image for all that Kubernetes runs in pods, under the names that kubeadm and kind ask for: its layers are
# imported and unpacked once when the node boots. coredns and pause are asked for without a command, so they name one.
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS kube
RUN apt-get update && apt-get install -y --no-install-recommends iptables \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY kube dns local-path-provisioner pause /usr/local/bin/
COPY server /usr/local/bin/etcd
RUN cd /usr/local/bin && for b in kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do ln -s kube $b; done
FROM kube AS coredns
ENTRYPOINT ["dns"]
FROM kube AS pause
ENTRYPOINT ["pause"]
