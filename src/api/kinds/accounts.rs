//! Service accounts.

use super::entry::columns::{AGE, NAME};
use super::{CREATE_ONLY, Column, Kind, print};
use std::borrow::Cow;

pub(super) const SERVICE_ACCOUNT: Kind = kind!(
    Namespaced,
    "" / "v1",
    "io.k8s.api.core",
    "ServiceAccount",
    "serviceaccounts",
    "serviceaccount",
    short: names!["sa"],
    others: subresources!["token": "TokenRequest" in "authentication.k8s.io" / "v1" CREATE_ONLY],
    columns: Cow::Borrowed(COLUMNS),
);

const COLUMNS: &[Column] = &[
    NAME,
    print::column("Secrets", "string", "Secrets that pods of the account may use.", |account, _| {
        print::count(account, &["secrets"]).into()
    }),
    AGE,
];
