"""内存数据包簿: sync/book_bundle.py's methods over containers; each keeps that one's promises."""

from __future__ import annotations

from datetime import datetime

from sync.book_bundle import BundleBook, Exported, Imported


class Files(BundleBook):
    """What of one node's lanes travels as files."""

    def exported(self, peer: str) -> Exported:
        found: Exported = self._database.bundle_out.get(peer) or Exported()
        return found

    def keep_export(self, peer: str, made: Exported) -> None:
        known = self.exported(peer)
        kept = made._replace(wanted=known.wanted, wanted_at=known.wanted_at, refused=None)
        self._database.bundle_out[peer] = kept

    def keep_want(self, peer: str, after: int, at: datetime) -> None:
        # A row that begins with a want has covered nothing yet, as the column's default says.
        covered = after if peer in self._database.bundle_out else Exported().covered
        wanted = self.exported(peer)._replace(wanted=after, wanted_at=at, covered=covered)
        self._database.bundle_out[peer] = wanted

    def forget_want(self, peer: str) -> None:
        if peer in self._database.bundle_out:
            self._database.bundle_out[peer] = self.exported(peer)._replace(wanted=None)

    def keep_refusal(self, peer: str, why: str) -> None:
        self._database.bundle_out[peer] = self.exported(peer)._replace(refused=why)

    def imported(self, peer: str, up_to: int) -> Imported | None:
        taken = self._database.bundle_in.get(peer, {})
        return taken.get(max((number for number in taken if number <= up_to), default=0))

    def keep_import(self, peer: str, taken: Imported) -> None:
        self._database.bundle_in.setdefault(peer, {}).setdefault(taken.number, taken)
