//! Watches the messages between the processes, for a script.

use std::collections::BTreeMap;
use std::mem::take;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use service::world::ConnectionError;

use crate::network::{CallId, CallResult, MachineId};

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) from: MachineId,
    pub(crate) to: MachineId,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

/// A request was sent, or the response to it.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    Request(Call),
    Response(Call, Result<(StatusCode, Bytes), ConnectionError>),
}

/// The messages that were sent since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    open: BTreeMap<CallId, Call>,
    sent: Vec<Sent>,
}

impl Watch {
    pub(crate) fn request_sent(&mut self, id: CallId, from: MachineId, to: MachineId, request: &Request<Bytes>) {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let call = Call { from, to, method, path, body: request.body().clone() };
        self.open.insert(id, call.clone());
        self.sent.push(Sent::Request(call));
    }

    pub(crate) fn response_sent(&mut self, id: CallId, outcome: &CallResult) {
        // Only the first response to a request counts.
        if let Some(call) = self.open.remove(&id) {
            let outcome = outcome.as_ref().map(|response| (response.status(), response.body().clone()));
            self.sent.push(Sent::Response(call, outcome.map_err(|error| *error)));
        }
    }

    pub(crate) fn take(&mut self) -> Vec<Sent> {
        take(&mut self.sent)
    }
}
