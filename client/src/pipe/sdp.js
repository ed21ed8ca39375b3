// Descriptions of pages without native WebRTC. Native browsers take them: the other page may not have this script.

import { MOST_MESSAGE } from './channels.js';
import { random, toBase64Url } from './bytes.js';

const hexOf = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0').toUpperCase()).join(':');
const digits = () => String(random(7).reduce((sum, byte) => sum * 256 + byte, 1));
const letters = (bytes) => toBase64Url(random(bytes)).replace(/-/g, '+').replace(/_/g, '/');

/** True if both sides want data: the section is not refused. */
export const hasData = (sdp) => /^m=application [1-9]/m.test(sdp);

/** True if an answer takes sound or pictures. */
export const hasMedia = (sdp) => sdp.split(/^(?=m=)/m).some((section) => /^m=(audio|video) [1-9]/.test(section) && !/^a=inactive/m.test(section));

/** The sections of a description, with their first lines. */
function sectionsOf(sdp) {
  return sdp.split(/^(?=m=)/m).slice(1).map((text) => ({
    media: text.slice(2).split(/\s/, 1)[0],
    first: text.split(/\r?\n/, 1)[0],
    mid: /^a=mid:(\S+)/m.exec(text)?.[1],
  }));
}

/** What all descriptions of a connection have in common. */
export class Sdp {
  #session = digits();
  #version = 1;
  #fingerprint = hexOf(random(32));
  #ice = { ufrag: letters(3), pwd: letters(18) };

  restart() {
    this.#ice = { ufrag: letters(3), pwd: letters(18) };
  }

  get ufrag() {
    return this.#ice.ufrag;
  }

  offer({ mid, wantsData }) {
    return this.#write(wantsData ? [this.#data(mid, 'actpass')] : [], wantsData ? [mid] : []);
  }

  /** An answer has a section for each of the offer, and takes only that of data. */
  answer(offer) {
    const sections = sectionsOf(offer);
    const isTaken = ({ media, first }) => media === 'application' && first.includes('webrtc-datachannel');
    const setup = /^a=setup:active/m.test(offer) ? 'passive' : 'active';
    const written = sections.map((section) => (isTaken(section) ? this.#data(section.mid, setup) : refuse(section)));
    return this.#write(written, sections.filter(isTaken).map(({ mid }) => mid));
  }

  #write(sections, mids) {
    this.#version += 1;
    return [
      'v=0',
      `o=- ${this.#session} ${this.#version} IN IP4 127.0.0.1`,
      's=-',
      't=0 0',
      ...(mids.length > 0 ? [`a=group:BUNDLE ${mids.join(' ')}`] : []),
      ...sections.flat(),
      '',
    ].join('\r\n');
  }

  #data(mid, setup) {
    return [
      'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
      'c=IN IP4 0.0.0.0',
      `a=ice-ufrag:${this.#ice.ufrag}`,
      `a=ice-pwd:${this.#ice.pwd}`,
      'a=ice-options:trickle',
      `a=fingerprint:sha-256 ${this.#fingerprint}`,
      `a=setup:${setup}`,
      ...(mid === undefined ? [] : [`a=mid:${mid}`]),
      'a=sctp-port:5000',
      `a=max-message-size:${MOST_MESSAGE}`,
    ];
  }
}

function refuse({ first, mid }) {
  const [media, , protocol, format] = first.slice(2).split(' ');
  return [`m=${media} 0 ${protocol} ${format}`, 'c=IN IP4 0.0.0.0', ...(mid === undefined ? [] : [`a=mid:${mid}`]), 'a=inactive'];
}
