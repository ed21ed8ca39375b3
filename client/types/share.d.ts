/** How other devices open a page. */

/** The address of a page, by default of this one. Warns of one that only this machine can open. */
export declare function shareLink(page?: string | URL): string;

/** A picture of an address for cameras: an element, and as text an address for the `src` of an img. */
export declare function qrCode(link?: string | URL): SVGSVGElement;
