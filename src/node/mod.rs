//! The node agent: pods on this machine, their volumes, probes and status, and the kubelet API.
