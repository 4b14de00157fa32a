//! Who a container runs as: users and groups of its security context, of the image, and of both together.
//!
//! Source: kubelet `pkg/kubelet/kuberuntime/security_context.go`, containerd `pkg/oci/spec_opts.go` (WithUser, WithAdditionalGIDs).

use super::parts;
use super::start::Start;
use crate::node::border::Image;
use crate::runtime::User;
use k8s_openapi::api::core::v1::Pod;

/// The user files of an image.
#[derive(Default)]
struct Names {
    passwd: String,
    group: String,
}

/// A user of an image.
struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// Who the container runs as, and the home folder that the image gives that user.
pub async fn of(start: &Start, image: &Image) -> Result<(User, String), String> {
    let names =
        Names { passwd: text(start, image, "/etc/passwd").await?, group: text(start, image, "/etc/group").await? };
    let asked = Asked::of(start);
    asked.check(start, image)?;
    let (user, home) = names.resolve(&asked, &image.config.user)?;
    Ok((user, home.unwrap_or_else(|| "/".into())))
}

async fn text(start: &Start, image: &Image, path: &str) -> Result<String, String> {
    let bytes = start.node.images.read_file(&image.id, path).await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
}

/// What pod and container ask for together.
#[derive(Default)]
struct Asked {
    uid: Option<u32>,
    gid: Option<u32>,
    groups: Vec<u32>,
    /// The image's groups of the user are left out.
    strict: bool,
    non_root: bool,
}

impl Asked {
    fn of(start: &Start) -> Self {
        let pod = parts::spec(&start.pod).security_context.as_ref();
        let own = start.container.security_context.as_ref();
        let id = |own: Option<i64>, pod: Option<i64>| own.or(pod).map(|id| id as u32);
        Self {
            uid: id(own.and_then(|own| own.run_as_user), pod.and_then(|pod| pod.run_as_user)),
            gid: id(own.and_then(|own| own.run_as_group), pod.and_then(|pod| pod.run_as_group)),
            groups: groups(&start.pod),
            strict: pod.and_then(|pod| pod.supplemental_groups_policy.as_deref()) == Some("Strict"),
            non_root: own.and_then(|own| own.run_as_non_root).or(pod.and_then(|pod| pod.run_as_non_root)) == Some(true),
        }
    }

    fn check(&self, start: &Start, image: &Image) -> Result<(), String> {
        if !self.non_root {
            return Ok(());
        }
        let about = format!("(pod: \"{}\", container: {})", parts::title(&start.pod), start.container.name);
        let user = image.config.user.split(':').next().unwrap_or_default();
        match (self.uid, user.parse::<u32>()) {
            (Some(0), _) => Err(format!("container's runAsUser breaks non-root policy {about}")),
            (Some(_), _) => Ok(()),
            (None, Ok(0)) => Err(format!("container has runAsNonRoot and image will run as root {about}")),
            (None, Ok(_)) => Ok(()),
            (None, Err(_)) if user.is_empty() => {
                Err(format!("container has runAsNonRoot and image will run as root {about}"))
            }
            (None, Err(_)) => Err(format!(
                "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root {about}"
            )),
        }
    }
}

/// Groups that all containers of a pod are in: supplemental ones and the one of its volumes.
fn groups(pod: &Pod) -> Vec<u32> {
    let Some(context) = &parts::spec(pod).security_context else { return Vec::new() };
    let all = context.supplemental_groups.iter().flatten().chain(context.fs_group.as_ref());
    let mut groups: Vec<u32> = Vec::new();
    for group in all.map(|group| *group as u32) {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

/// The user that all containers of a pod have, if they all ask for the same one: it owns the pod's tokens.
pub fn common_user(pod: &Pod) -> Option<u32> {
    let of_pod = parts::spec(pod).security_context.as_ref().and_then(|context| context.run_as_user);
    let mut users = parts::containers(pod)
        .map(|(_, container)| container.security_context.as_ref().and_then(|context| context.run_as_user).or(of_pod));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then_some(first as u32)
}

impl Names {
    fn users(&self) -> impl Iterator<Item = Entry<'_>> {
        self.passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
            Some(Entry { name: fields[0], uid, gid, home: fields.get(5).copied().unwrap_or("/") })
        })
    }

    /// Name, number and members of each group.
    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            Some((fields[0], fields.get(2)?.parse().ok()?, fields.get(3).copied().unwrap_or_default()))
        })
    }

    fn resolve(&self, asked: &Asked, of_image: &str) -> Result<(User, Option<String>), String> {
        let (user, group) = of_image.split_once(':').unwrap_or((of_image, ""));
        let uid = match asked.uid {
            Some(uid) => uid,
            None => self.uid(user)?,
        };
        let entry = match asked.uid {
            None => self.users().find(|entry| {
                entry.name == user || entry.uid.to_string() == user || (user.is_empty() && entry.uid == 0)
            }),
            Some(_) => self.users().find(|entry| entry.uid == uid),
        };
        let gid = match (asked.gid, asked.uid) {
            (Some(gid), _) => gid,
            (None, None) if !group.is_empty() => self.gid(group)?,
            (None, _) => entry.as_ref().map_or(0, |entry| entry.gid),
        };
        let mut additional = asked.groups.clone();
        if let (Some(entry), false) = (&entry, asked.strict) {
            let is_member = |members: &str| members.split(',').any(|member| member.trim() == entry.name);
            for (_, number, _) in self.groups().filter(|(_, _, members)| is_member(members)) {
                if !additional.contains(&number) {
                    additional.push(number);
                }
            }
        }
        let home = entry.map(|entry| entry.home.to_string()).filter(|home| !home.is_empty());
        Ok((User { uid, gid, additional_gids: additional }, home))
    }

    fn uid(&self, user: &str) -> Result<u32, String> {
        if user.is_empty() {
            return Ok(0);
        }
        let named = self.users().find(|entry| entry.name == user).map(|entry| entry.uid);
        let number = named.or_else(|| user.parse().ok());
        number.ok_or_else(|| format!("unable to find user {user}: no matching entries in passwd file"))
    }

    fn gid(&self, group: &str) -> Result<u32, String> {
        let named = self.groups().find(|(name, _, _)| *name == group).map(|(_, number, _)| number);
        let number = named.or_else(|| group.parse().ok());
        number.ok_or_else(|| format!("unable to find group {group}: no matching entries in group file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::pod;
    use serde_json::json;

    fn names() -> Names {
        Names {
            passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/srv:/bin/sh\n".into(),
            group: "root:x:0:\nweb:x:102:\nlogs:x:55:web,other\n".into(),
        }
    }

    fn resolved(asked: &Asked, image: &str) -> (u32, u32, Vec<u32>) {
        let (user, _) = names().resolve(asked, image).unwrap();
        (user.uid, user.gid, user.additional_gids)
    }

    #[test]
    fn the_image_names_its_user_and_the_pod_overrides_it() {
        let nothing = Asked::default();
        assert_eq!(resolved(&nothing, ""), (0, 0, vec![]));
        assert_eq!(resolved(&nothing, "web"), (101, 102, vec![55]));
        assert_eq!(resolved(&nothing, "web:root"), (101, 0, vec![55]));
        assert_eq!(resolved(&nothing, "7:9"), (7, 9, vec![]));
        assert_eq!(resolved(&Asked { uid: Some(1000), ..Asked::default() }, "web:root"), (1000, 0, vec![]));
        assert_eq!(resolved(&Asked { uid: Some(101), ..Asked::default() }, ""), (101, 102, vec![55]));
        let strict = Asked { uid: Some(101), gid: Some(3), groups: vec![9], strict: true, ..Asked::default() };
        assert_eq!(resolved(&strict, ""), (101, 3, vec![9]));
        assert!(names().resolve(&nothing, "nobody").is_err());
    }

    #[test]
    fn one_user_for_all_containers_owns_the_tokens() {
        let with = |pod_user, own| {
            pod(json!({"securityContext": {"runAsUser": pod_user}, "containers": [
            {"name": "a", "image": "i"}, {"name": "b", "image": "i", "securityContext": {"runAsUser": own}}]}))
        };
        assert_eq!(common_user(&with(Some(7), None::<i64>)), Some(7));
        assert_eq!(common_user(&with(Some(7), Some(8))), None);
        assert_eq!(common_user(&with(None, None)), None);
    }
}
