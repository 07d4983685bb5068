//! Which engine mounts an image, and why.

use crate::error::Error;
use crate::request::EngineRequest;

/// From this version on the kernel mounts EROFS images that lie in files.
const EROFS_FROM_FILES: (u32, u32) = (6, 12);

/// Who shows the tree to programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// The kernel's EROFS over one FUSE file a layer.
    Erofs,
    /// This process, through FUSE.
    Fuse,
}

impl Engine {
    /// Its name in requests, results and logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Erofs => "erofs",
            Self::Fuse => "fuse",
        }
    }
}

/// An engine with the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) engine: Engine,
    pub(super) reason: String,
    /// Whether the other engine may be tried when this one is refused.
    pub(super) is_open: bool,
}

/// What a choice depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Machine {
    may_mount: bool,
    kernel: (u32, u32),
    /// Why the kernel has no EROFS for us.
    erofs_refused: Option<String>,
}

/// Chooses for this machine.
///
/// # Errors
/// `PRIVILEGE_REQUIRED` when engine erofs was asked for and this process may not mount.
pub(super) fn choose(request: EngineRequest) -> Result<Choice, Error> {
    let may_mount = sys::process::may_mount();
    if request == EngineRequest::Erofs && !may_mount {
        return Err(Error::Privilege);
    }
    Ok(choose_for(
        request,
        &Machine {
            may_mount,
            kernel: sys::kernel::version(),
            erofs_refused: sys::mount::offers_erofs()
                .err()
                .map(|error| error.to_string()),
        },
    ))
}

fn choose_for(request: EngineRequest, machine: &Machine) -> Choice {
    let (major, minor) = machine.kernel;
    let asked = |engine| Choice {
        engine,
        reason: "asked for".to_owned(),
        is_open: false,
    };
    let fuse = |reason| Choice {
        engine: Engine::Fuse,
        reason,
        is_open: false,
    };
    match request {
        EngineRequest::Erofs => asked(Engine::Erofs),
        EngineRequest::Fuse => asked(Engine::Fuse),
        EngineRequest::Auto if !machine.may_mount => {
            fuse("engine erofs needs CAP_SYS_ADMIN".to_owned())
        }
        EngineRequest::Auto if machine.kernel < EROFS_FROM_FILES => fuse(format!(
            "engine erofs needs Linux 6.12, this is {major}.{minor}"
        )),
        EngineRequest::Auto => match &machine.erofs_refused {
            Some(why) => fuse(format!("the kernel offers no EROFS: {why}")),
            None => Choice {
                engine: Engine::Erofs,
                reason: format!("Linux {major}.{minor} with EROFS, and allowed to mount"),
                is_open: true,
            },
        },
    }
}

impl Choice {
    /// What to do instead when the engine could not be set up for a reason that does not concern the other one.
    pub(super) fn after(&self, error: &Error) -> Option<Self> {
        let other_may_do = matches!(error, Error::CacheFilesystem { .. } | Error::Mount(_));
        (self.is_open && other_may_do).then(|| Self {
            engine: Engine::Fuse,
            reason: format!("engine erofs was refused: {error}"),
            is_open: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            may_mount: true,
            kernel: (6, 12),
            erofs_refused: None,
        }
    }

    fn auto(machine: &Machine) -> Choice {
        choose_for(EngineRequest::Auto, machine)
    }

    #[test]
    fn auto_takes_erofs_where_it_works_and_says_why_not() {
        assert_eq!(auto(&machine()).engine, Engine::Erofs);
        let cases = [
            (
                Machine {
                    may_mount: false,
                    ..machine()
                },
                "CAP_SYS_ADMIN",
            ),
            (
                Machine {
                    kernel: (6, 11),
                    ..machine()
                },
                "needs Linux 6.12, this is 6.11",
            ),
            (
                Machine {
                    erofs_refused: Some("no such device".to_owned()),
                    ..machine()
                },
                "no such device",
            ),
        ];
        for (machine, why) in cases {
            let choice = auto(&machine);
            assert_eq!(choice.engine, Engine::Fuse);
            assert!(choice.reason.contains(why), "{choice:?}");
        }
    }

    #[test]
    fn what_was_asked_for_is_taken_whatever_the_machine() {
        let machine = Machine {
            may_mount: false,
            kernel: (5, 10),
            erofs_refused: Some(String::new()),
        };
        assert_eq!(
            choose_for(EngineRequest::Erofs, &machine).engine,
            Engine::Erofs
        );
        assert_eq!(
            choose_for(EngineRequest::Fuse, &machine).engine,
            Engine::Fuse
        );
    }

    #[test]
    fn only_an_open_choice_is_changed_and_only_for_what_concerns_erofs() {
        let refused = Error::CacheFilesystem {
            path: "/c".to_owned(),
            filesystem: "overlayfs".to_owned(),
        };
        let instead = auto(&machine()).after(&refused).unwrap();
        assert_eq!(instead.engine, Engine::Fuse);
        assert!(instead.reason.contains("overlayfs"), "{instead:?}");
        assert_eq!(auto(&machine()).after(&Error::Privilege), None);
        assert_eq!(
            choose_for(EngineRequest::Erofs, &machine()).after(&refused),
            None
        );
    }
}
