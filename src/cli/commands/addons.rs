//! `coracle addons`: what is switched on in a cluster. Switching is a write through the API; a stopped cluster does it at start.

use super::super::table::framed;
use super::super::{Context, Exit, Failure, cluster_failure, complete, content, release, template};
use crate::addons::{self, Addon, CATALOG, catalog, reconcile};
use crate::base::Hint;
use crate::client::Client;
use crate::cluster::Cluster;
use k8s_openapi::api::core::v1::Service;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Map, Value, json};

/// Switch addons on and off
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the addons and whether they are on
    List {
        /// Form of the answer
        #[arg(short, long, default_value = "list", value_parser = ["list", "table", "json"])]
        output: String,
        /// Print what each is as well
        #[arg(short, long)]
        docs: bool,
    },
    /// Switch addons on
    Enable {
        #[arg(required = true, add = complete::addons())]
        names: Vec<String>,
        /// Other images for the addon: KEY=IMAGE; see `addons images` for the keys
        #[arg(long, value_delimiter = ',')]
        images: Vec<String>,
        /// Other registries for the addon's images: KEY=REGISTRY
        #[arg(long, value_delimiter = ',')]
        registries: Vec<String>,
        /// Given for minikube's sake
        #[arg(long, hide = true)]
        force: bool,
        /// Given for minikube's sake: what is on is always made anew
        #[arg(long, hide = true)]
        refresh: bool,
    },
    /// Switch addons off
    Disable {
        #[arg(required = true, add = complete::addons())]
        names: Vec<String>,
    },
    /// List the images of an addon
    Images {
        #[arg(add = complete::addons())]
        name: String,
        /// Form of the answer
        #[arg(short, long, default_value = "table", value_parser = ["table", "json"])]
        output: String,
    },
    /// Print where an addon's services answer
    Open {
        #[arg(add = complete::addons())]
        name: String,
        /// Print addresses only
        #[arg(long)]
        url: bool,
        /// Print https instead of http
        #[arg(long)]
        https: bool,
        /// Form of an address
        #[arg(long, default_value = "http://{{.IP}}:{{.Port}}")]
        format: String,
        /// Given for minikube's sake: nothing is asked again and again
        #[arg(long, hide = true)]
        interval: Option<u64>,
        /// Given for minikube's sake
        #[arg(long, hide = true)]
        wait: Option<u64>,
    },
    /// Set what an addon can be told
    Configure {
        #[arg(add = complete::addons())]
        name: String,
        /// A file with the answers
        #[arg(short = 'f', long)]
        config_file: Option<std::path::PathBuf>,
    },
}

/// Does what was said.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    match arguments.command {
        Command::List { output, docs } => list(&output, docs, context)?,
        Command::Enable { names, images, registries, .. } => {
            let changed = Changed { images: &images, registries: &registries };
            switch(&names, true, &changed, context).await?;
        }
        Command::Disable { names } => switch(&names, false, &Changed::default(), context).await?,
        Command::Images { name, output } if is_built_in(&name) => match output.as_str() {
            "json" => context.printer.data(json!({"Addon": name, "Images": {}}).to_string()),
            _ => context.printer.say(format!("`{name}` is built in, and has no image")),
        },
        Command::Images { name, output } => images(find(&name)?, &output, context),
        Command::Open { name, url, https, format, .. } => {
            let format = if https { format.replace("http://", "https://") } else { format };
            open(find(&name)?, url, &format, context).await?;
        }
        Command::Configure { name, config_file: _ } => {
            let addon = find(&name)?;
            let what = format!("the addon `{}` has nothing to configure", addon.name);
            return Err(Failure { error: what.into(), exit: Exit::Usage });
        }
    }
    Ok(Exit::Success)
}

fn find(name: &str) -> Result<&'static Addon, Failure> {
    catalog::find(name).ok_or_else(|| content::no_addon(name))
}

/// The cluster; without one there is nothing to switch, and the hint says how to have one.
fn cluster(context: &Context) -> Result<Cluster, Failure> {
    super::open(context).map_err(|failure| match failure.exit {
        Exit::GuestNotFound => {
            let hint = format!("To start a cluster, run: \"coracle start -p {}\"", context.profile);
            Failure { error: Box::new(Hint::new(failure.error, hint)), exit: failure.exit }
        }
        _ => failure,
    })
}

fn list(output: &str, docs: bool, context: &Context) -> Result<(), Failure> {
    // Without a cluster the list is what a new one would have.
    let profile = Cluster::open(&context.home, &context.profile).ok().map(|cluster| cluster.profile);
    let is_on = |addon: &Addon| match &profile {
        Some(profile) => addons::is_wanted(profile, addon),
        None => addon.is_default(),
    };
    if output == "json" {
        let mut all = Map::new();
        for addon in CATALOG {
            let status = if is_on(addon) { "enabled" } else { "disabled" };
            all.insert(addon.name.into(), json!({"Profile": context.profile, "Status": status}));
        }
        for (name, _) in BUILT_IN.iter().filter(|(name, _)| is_built_in(name)) {
            all.insert((*name).into(), json!({"Profile": context.profile, "Status": "enabled"}));
        }
        context.printer.data(Value::Object(all).to_string());
        return Ok(());
    }
    let row = |addon: &Addon| {
        let status = if is_on(addon) { "enabled" } else { "disabled" };
        let text = addon.field(if docs { "description" } else { "title" });
        vec![addon.name.to_string(), context.profile.clone(), status.to_string(), text.to_string()]
    };
    let built_in = BUILT_IN.iter().filter(|(name, _)| is_built_in(name)).map(|(name, what)| {
        vec![name.to_string(), context.profile.clone(), "enabled".into(), format!("Built in: {what}")]
    });
    let rows: Vec<Vec<String>> = CATALOG.iter().map(row).chain(built_in).collect();
    let what = if docs { "WHAT" } else { "TITLE" };
    context.printer.raw(&framed(&["ADDON NAME", "PROFILE", "STATUS", what], &rows));
    Ok(())
}

/// What `addons enable` says of images, as it was given.
#[derive(Default)]
struct Changed<'a> {
    images: &'a [String],
    registries: &'a [String],
}

impl Changed<'_> {
    /// Notes in the profile which images of an addon are others. Nothing said leaves those of the addon's manifests.
    fn note(&self, addon: &Addon, profile: &mut crate::config::Profile) -> Result<(), Failure> {
        let usage = |what: String| Failure {
            error: Box::new(Hint::new(what, format!("coracle addons images {}", addon.name))),
            exit: Exit::Usage,
        };
        let all = addon.images();
        for (given, is_image) in
            self.images.iter().map(|text| (text, true)).chain(self.registries.iter().map(|text| (text, false)))
        {
            let pair = given.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty());
            let (key, value) = pair.ok_or_else(|| usage(format!("`{given}` is not KEY=VALUE")))?;
            let image = all.iter().find(|image| catalog::key(image).eq_ignore_ascii_case(key));
            let image = image.ok_or_else(|| usage(format!("the addon `{}` has no image `{key}`", addon.name)))?;
            let place = format!("{}/{}", addon.name, catalog::key(image));
            let to = match is_image {
                true => value.to_string(),
                false => {
                    // A registry for an image that was changed by the same command is for the changed one.
                    let written = reconcile::render(image, &reconcile::values(profile));
                    let now = profile.addon_images.get(&place).cloned().unwrap_or(written);
                    catalog::at_registry(&now, value)
                }
            };
            profile.addon_images.insert(place, to);
        }
        Ok(())
    }
}

/// Addons of minikube that are none here.
const ELSEWHERE: &[&str] = &[
    "ambassador",
    "amd-gpu-device-plugin",
    "auto-pause",
    "cloud-spanner",
    "csi-hostpath-driver",
    "dashboard",
    "efk",
    "freshpod",
    "gcp-auth",
    "gvisor",
    "headlamp",
    "inaccel",
    "ingress",
    "ingress-dns",
    "inspektor-gadget",
    "istio",
    "istio-provisioner",
    "kong",
    "kubeflow",
    "kubetail",
    "kubevirt",
    "logviewer",
    "metallb",
    "nvidia-device-plugin",
    "nvidia-driver-installer",
    "nvidia-gpu-device-plugin",
    "olm",
    "pod-security-policy",
    "portainer",
    "registry",
    "registry-aliases",
    "registry-creds",
    "storage-provisioner-rancher",
    "traefik",
    "volcano",
    "volumesnapshots",
    "yakd",
];

/// Addons of minikube that are part of this executable here, and always on; and what serves them.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("default-storageclass", "the storage class `standard`"),
    ("metrics-server", "the metrics API, of which `kubectl top` reads"),
    ("storage-provisioner", "the provisioner of volumes"),
];

/// Whether a name is that of an addon which is always on, because it is part of this executable.
pub fn is_built_in(name: &str) -> bool {
    BUILT_IN.iter().any(|(known, _)| *known == name) && catalog::find(name).is_none()
}

fn is_elsewhere(name: &str) -> bool {
    ELSEWHERE.contains(&name) && catalog::find(name).is_none()
}

/// Switches an addon on, as `addons enable` does.
pub async fn enable(name: &str, context: &Context) -> Result<(), Failure> {
    switch(&[name.into()], true, &Changed::default(), context).await
}

async fn switch(names: &[String], is_on: bool, changed: &Changed<'_>, context: &Context) -> Result<(), Failure> {
    let _held = super::hold(context, &context.profile)?;
    let mut cluster = cluster(context)?;
    let (built_in, names): (Vec<_>, Vec<_>) = names.iter().partition(|name| is_built_in(name));
    for name in built_in {
        match is_on {
            true => context.printer.say(format!("`{name}` is on: it is built in")),
            false => context.printer.warn(format!("`{name}` stays on: it is built in")),
        }
    }
    // What is not here is off, which is what was asked for.
    let (absent, names): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| !is_on && is_elsewhere(name));
    absent.iter().for_each(|name| context.printer.say(format!("`{name}` is off: there is no such addon here")));
    let wanted = names.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?;
    let failure = |error| cluster_failure(error, &context.profile);
    if cluster.is_paused() {
        let hint = format!("coracle unpause -p {}", context.profile);
        return Err(Failure { error: Box::new(Hint::new("the cluster is paused", hint)), exit: Exit::Code(11) });
    }
    let before = cluster.profile.clone();
    for addon in &wanted {
        let profile = &mut cluster.profile;
        let (to, from) = match is_on {
            true => (&mut profile.addons, &mut profile.disabled_addons),
            false => (&mut profile.disabled_addons, &mut profile.addons),
        };
        from.retain(|name| name != addon.name);
        // What is on, or off, without being named need not be.
        if addon.is_default() != is_on && !to.iter().any(|name| name == addon.name) {
            to.push(addon.name.into());
        }
        if is_on {
            profile.addon_images.retain(|place, _| !place.starts_with(&format!("{}/", addon.name)));
            changed.note(addon, profile)?;
        }
    }
    cluster.save().map_err(failure)?;
    let is_up = cluster.is_up().await;
    if is_up && let Err(failed) = make(&cluster, &wanted, is_on).await {
        // What did not come about is not what is listed.
        cluster.profile = before;
        cluster.save().and(cluster.hand_down_profile().await).map_err(failure)?;
        return Err(failed);
    }
    for addon in &wanted {
        let word = if is_on { "on" } else { "off" };
        let when = if is_up { "" } else { " when the cluster starts" };
        context.printer.say(format!("`{}` is {word}{when}", addon.name));
    }
    Ok(())
}

/// Makes a cluster that runs as its profile says of these addons.
async fn make(cluster: &Cluster, addons: &[&Addon], is_on: bool) -> Result<(), Failure> {
    cluster.hand_down_profile().await.map_err(|error| cluster_failure(error, &cluster.profile.name))?;
    let client = super::client(cluster).await?;
    for addon in addons {
        match is_on {
            true => reconcile::apply(&client, addon, &cluster.profile).await?,
            false => reconcile::remove(&client, addon, &cluster.profile).await?,
        }
    }
    Ok(())
}

fn images(addon: &Addon, output: &str, context: &Context) {
    let profile = Cluster::open(&context.home, &context.profile).ok().map(|cluster| cluster.profile);
    let values = profile.as_ref().map(reconcile::values).unwrap_or_default();
    let version = [("version", release::OWN.to_string())];
    let rows: Vec<(&str, String)> = addon
        .images()
        .into_iter()
        .map(|image| {
            let key = catalog::key(image);
            let changed = profile.as_ref().and_then(|own| own.addon_images.get(&format!("{}/{key}", addon.name)));
            (key, changed.cloned().unwrap_or_else(|| reconcile::render(&reconcile::render(image, &values), &version)))
        })
        .collect();
    if output == "json" {
        let images: Map<String, Value> = rows.into_iter().map(|(key, image)| (key.into(), image.into())).collect();
        context.printer.data(json!({"Addon": addon.name, "Images": images}).to_string());
        return;
    }
    context.printer.data(format!("{:<24} {}", "IMAGE NAME", "IMAGE"));
    rows.iter().for_each(|(key, image)| context.printer.data(format!("{key:<24} {image}")));
}

async fn open(addon: &Addon, is_bare: bool, format: &str, context: &Context) -> Result<(), Failure> {
    let cluster = super::open_up(context).await?;
    let client: Client = super::client(&cluster).await?;
    let chosen = ListParams::default().labels(&format!("{}={}", reconcile::LABEL, addon.name));
    let services = Api::<Service>::all(client).list(&chosen).await?.items;
    if services.is_empty() {
        let what = format!("the addon `{}` has no service, or is off", addon.name);
        let hint = format!("coracle addons enable {}", addon.name);
        return Err(Failure { error: Box::new(Hint::new(what, hint)), exit: Exit::ServiceNotFound });
    }
    for service in &services {
        if !is_bare {
            context.printer.say(format!("{}:", service.name_any()));
        }
        for (address, port, _) in super::service::places(&cluster, service) {
            let fields = [("IP", address), ("Port", port.to_string()), ("Name", service.name_any())];
            context.printer.data(template::render(format, &fields)?);
        }
    }
    Ok(())
}
