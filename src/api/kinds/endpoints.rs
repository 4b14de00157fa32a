//! Endpoints and endpoint slices.

use super::edit::{each, missing, zero};
use super::entry::columns::{AGE, NAME};
use super::{Column, Generation, Kind, NO_RULES, Object, Rules, old, print};
use crate::api::validate;
use serde_json::Value;
use std::borrow::Cow;

/// How many ports or addresses a cell shows.
const SHOWN: usize = 3;

pub(super) const ENDPOINTS: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "Endpoints",
    "endpoints",
    "endpoints",
    short: names!["ep"],
    columns: Cow::Borrowed(ENDPOINTS_COLUMNS),
    rules: Rules { default: default_endpoints, ..NO_RULES },
);

pub(super) const ENDPOINT_SLICE: Kind = kind!(
    Namespaced,
    "discovery.k8s.io" / "v1",
    "io.k8s.api.discovery",
    "EndpointSlice",
    "endpointslices",
    "endpointslice",
    served: old::ENDPOINT_SLICE,
    generation: Generation::Body,
    columns: Cow::Borrowed(SLICE_COLUMNS),
    rules: Rules {
        validate: validate::networking::slice,
        validate_update: validate::networking::update_slice,
        default: default_slice,
        ..NO_RULES
    },
);

const ENDPOINTS_COLUMNS: &[Column] = &[
    NAME,
    print::column("Endpoints", "string", "Addresses and ports that are ready.", |endpoints, _| pairs(endpoints).into()),
    AGE,
];

const SLICE_COLUMNS: &[Column] = &[
    NAME,
    print::column("AddressType", "string", "Kind of the addresses.", |slice, _| print::text(slice, &["addressType"])),
    print::column("Ports", "string", "Ports of every endpoint.", |slice, _| {
        let ports: Vec<String> = print::list(slice, &["ports"]).iter().map(port_of_slice).collect();
        print::shortened(&ports, SHOWN, "<unset>").into()
    }),
    print::column("Endpoints", "string", "Addresses of the endpoints.", |slice, _| {
        let addresses = |endpoint: &Value| endpoint["addresses"].as_array().cloned().unwrap_or_default();
        let all = print::list(slice, &["endpoints"]).iter().flat_map(addresses);
        let all: Vec<String> = all.filter_map(|address| address.as_str().map(String::from)).collect();
        print::shortened(&all, SHOWN, "<unset>").into()
    }),
    AGE,
];

fn default_endpoints(endpoints: &mut Object) {
    for subset in each(&mut endpoints.0, "subsets") {
        each(subset, "ports").for_each(|port| zero(port, "protocol", "TCP"));
    }
}

fn default_slice(slice: &mut Object) {
    for port in each(&mut slice.0, "ports") {
        missing(port, "name", "");
        missing(port, "protocol", "TCP");
    }
}

fn port_of_slice(port: &Value) -> String {
    match port["port"].as_i64() {
        Some(number) => number.to_string(),
        None => print::field(port, "name").to_string(),
    }
}

fn pairs(endpoints: &Object) -> String {
    let mut all = Vec::new();
    for subset in print::list(endpoints, &["subsets"]) {
        let ports = subset["ports"].as_array().map_or(&[][..], Vec::as_slice);
        for address in subset["addresses"].as_array().into_iter().flatten() {
            let ip = print::field(address, "ip");
            if ports.is_empty() {
                all.push(ip.to_string());
            }
            for port in ports {
                let ip = if ip.contains(':') { format!("[{ip}]") } else { ip.to_string() };
                all.push(format!("{ip}:{}", port["port"].as_i64().unwrap_or_default()));
            }
        }
    }
    print::shortened(&all, SHOWN, print::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn many_endpoints_are_cut_short() {
        let endpoints = Object::from_value(json!({"subsets": [{"ports": [{"port": 80}], "addresses": [
            {"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}, {"ip": "10.0.0.3"}, {"ip": "fd00::1"}]}]}))
        .unwrap();
        assert_eq!(pairs(&endpoints), "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more...");
        assert_eq!(pairs(&Object::default()), "<none>");
    }
}
