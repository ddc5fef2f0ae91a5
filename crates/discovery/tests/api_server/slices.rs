//! EndpointSlices, as the controller creates them for the headless service of a StatefulSet.

use serde_json::{Value, json};

/// A pod of a StatefulSet, as it appears in a slice.
#[derive(Clone, Debug)]
pub struct Pod {
    pub name: String,
    pub uid: String,
    pub address: String,
    pub serving: bool,
    pub terminating: bool,
}

impl Pod {
    /// A pod that runs and is ready. A new pod with the same name has another uid.
    pub fn new(name: &str, uid: &str, address: &str) -> Self {
        Self { name: name.into(), uid: uid.into(), address: address.into(), serving: true, terminating: false }
    }

    #[must_use]
    pub fn terminating(self) -> Self {
        Self { serving: false, terminating: true, ..self }
    }

    fn endpoint(&self) -> Value {
        json!({
            "addresses": [self.address],
            // `publishNotReadyAddresses` makes all endpoints ready.
            "conditions": { "ready": true, "serving": self.serving, "terminating": self.terminating },
            "hostname": self.name,
            "nodeName": "node-1",
            "targetRef": { "kind": "Pod", "name": self.name, "namespace": "toys", "uid": self.uid },
        })
    }
}

/// A slice of `service` in the namespace `toys`, with the ports `internal` and `replication`.
pub fn slice(service: &str, name: &str, ports: (u16, u16), pods: &[Pod]) -> Value {
    let port = |name: &str, port: u16| json!({ "name": name, "port": port, "protocol": "TCP", "appProtocol": "http" });
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": "toys",
            "labels": {
                "kubernetes.io/service-name": service,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "service.kubernetes.io/headless": "",
            },
        },
        "addressType": "IPv4",
        "endpoints": pods.iter().map(Pod::endpoint).collect::<Vec<_>>(),
        "ports": [port("internal", ports.0), port("replication", ports.1)],
    })
}
