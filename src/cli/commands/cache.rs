//! `coracle cache`: images that every cluster of this machine gets, kept in the home.

use super::super::{Context, Exit, Failure, content, template};
use crate::cluster::Cluster;
use crate::images::{Reference, Store, logins};

/// Keep images for every cluster
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Take images of the Docker engine, or pull them, into the cache, and load them into the cluster
    Add {
        #[arg(required = true)]
        images: Vec<String>,
        /// Load them into every cluster
        #[arg(long)]
        all: bool,
    },
    /// Remove images from the cache
    Delete {
        #[arg(required = true)]
        images: Vec<String>,
    },
    /// List the images of the cache
    List {
        /// A line of fields: {{.CacheImage}}
        #[arg(long, default_value = "{{.CacheImage}}")]
        format: String,
    },
    /// Load every image of the cache into the cluster
    Reload,
}

/// Works on the store of the home.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cache = Store::open(context.home.image_cache())?;
    match arguments.command {
        Command::Add { images, all } => {
            for image in &images {
                if super::image::of_engine(&cache, image)? {
                    continue;
                }
                let steps = context.printer.steps();
                steps.step(&format!("pulling {image}"));
                let reference: Reference = image.parse()?;
                cache
                    .pull(&reference, &logins::of_user(reference.registry()), &content::authorities(&context.home)?)
                    .await?;
            }
            let names = if all { context.home.names()? } else { vec![context.profile.clone()] };
            for name in names {
                // The cache may be filled before there is a cluster.
                let Ok(cluster) = Cluster::open(&context.home, &name) else { continue };
                let store = Store::open(cluster.paths().images())?;
                for image in &images {
                    content::hand_over(&cache, &store, &image.parse::<Reference>()?.to_string())?;
                }
            }
        }
        Command::Delete { images } => images.iter().try_for_each(|image| cache.remove(image))?,
        Command::List { format } => {
            let mut names: Vec<String> = cache.list()?.into_iter().flat_map(|image| image.repo_tags).collect();
            names.sort();
            for name in names {
                context.printer.data(template::render(&format, &[("CacheImage", name)])?);
            }
        }
        Command::Reload => content::load_cached(&super::open(context)?, context)?,
    }
    Ok(Exit::Success)
}
