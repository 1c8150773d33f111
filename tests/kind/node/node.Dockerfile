# A kind node of Debian packages: systemd, containerd and kind's own files (context: kind/) around the kube binary.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      systemd systemd-sysv conntrack iptables nftables iproute2 ethtool util-linux mount kmod libseccomp2 pigz \
      bash ca-certificates curl jq procps containerd runc containernetworking-plugins \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
# After apt, which would ask what to do about containerd's changed configuration.
COPY kind/usr/local/bin/ /usr/local/bin/
COPY kind/kind/ /kind/
COPY kind/etc/ /etc/
ARG PAUSE_IMAGE
RUN find /lib/systemd/system/sysinit.target.wants/ -name systemd-tmpfiles-setup.service -delete \
 && rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* \
      /lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/basic.target.wants/* \
      /lib/systemd/system/sockets.target.wants/*udev* /lib/systemd/system/sockets.target.wants/*initctl* \
 && echo ReadKMsg=no >> /etc/systemd/journald.conf \
 && chmod 755 /kind /kind/bin /kind/bin/* /usr/local/bin/entrypoint \
 && ln -sf /usr/bin/containerd /usr/local/bin/containerd \
 && mkdir -p /opt/cni /etc/kubernetes/manifests && ln -s /usr/lib/cni /opt/cni/bin \
 && ctr oci spec | jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
      > /etc/containerd/cri-base.json \
 && sed -i "s/restrict_oom_score_adj = false/restrict_oom_score_adj = true/; s#sandbox_image = .*#sandbox_image = \"$PAUSE_IMAGE\"#" \
      /etc/containerd/config.toml
COPY runc /usr/local/sbin/runc
COPY kube /kind/bin/kube
COPY files/ /
COPY version /kind/version
COPY default-storage.yaml /kind/manifests/
COPY images.tar /kind/
RUN for b in kubeadm kubelet kubectl; do ln -s /kind/bin/kube /usr/bin/$b; done \
 && systemctl enable kubelet containerd undo-mount-hacks import-images && systemctl mask systemd-binfmt
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
