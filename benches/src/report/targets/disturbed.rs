//! Whether a figure was measured while other programs worked: then nothing is concluded from it.

use super::super::{Report, Window};
use super::table::Measure;

impl Measure {
    /// Why nothing can be concluded, if most of its windows were disturbed.
    pub(super) fn disturbed(&self, report: &Report) -> Option<String> {
        let (mut disturbed, mut all) = (0, 0);
        for (scenario, peer) in self.servers().into_iter().flatten() {
            let rounds = report.server(scenario, peer).map_or(&[][..], |server| &server.rounds);
            disturbed += rounds.iter().filter(|window| Window::is_disturbed(window)).count();
            all += rounds.len();
        }
        (2 * disturbed > all).then(|| {
            format!("{disturbed} of {all} windows were disturbed by other programs: no conclusion")
        })
    }

    /// Whose windows it is made of.
    fn servers(&self) -> [Option<(&'static str, &'static str)>; 2] {
        match *self {
            Self::Cpu { scenario, peer, other } | Self::Rate { scenario, peer, other } => {
                [Some((scenario, peer)), Some((scenario, other))]
            }
            Self::Gain { scenario, peer, base } => [Some((scenario, peer)), Some((scenario, base))],
            Self::Growth { peer, scenario, base } | Self::Tail { peer, scenario, base } => {
                [Some((scenario, peer)), Some((base, peer))]
            }
            // Counted, or resident: not a matter of time. criterion has no windows.
            Self::Count { .. }
            | Self::Idle { .. }
            | Self::SecureIdle { .. }
            | Self::Micro { .. } => [None, None],
        }
    }
}
